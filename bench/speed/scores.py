"""Whether a recipe ends at the same score, whichever loop carries it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.measure import machine
from bench.plugins import metrics
from bench.speed.catalogue import CONTENDERS
from bench.speed.setting import BATCH, Files, Setting
from bench.stats.contributions import contributions
from bench.stats.paired import Comparison, Sample, compare_samples
from bench.stats.summary import Summary, summarise
from bench.text import text_table

LOOPS = ("lora", "trainer", "trainer-grouped")


@dataclass
class Scores:
    """Test scores by loop and seed, and each test example's contribution to them."""

    model: str
    task: str
    metric: str
    train_examples: int
    test_examples: int
    epochs: float
    by_loop: dict[str, dict[int, float]] = field(default_factory=dict)
    contributed: dict[str, dict[int, NDArray[np.float64]]] = field(default_factory=dict)

    def summary(self, loop: str) -> Summary | None:
        return summarise(list(self.by_loop[loop].values()))

    def compared(self, loop: str) -> Comparison | None:
        """This project's loop less that one, paired by seed and by test example (`bench.stats.paired`)."""
        return compare_samples(self._sample(LOOPS[0]), self._sample(loop))

    def _sample(self, loop: str) -> Sample:
        known = self.contributed[loop]
        return Sample(self.by_loop[loop], known if len(known) == len(self.by_loop[loop]) else None)


def require_examples(examples: int) -> None:
    """Raise a UsageError for less than a batch of training examples."""
    if examples < BATCH:
        raise UsageError(f"--examples {examples} is too few: one batch has {BATCH}.")


def compare(
    files: Files, model: str, seeds: Sequence[int], examples: int, threads: int, told: Callable[[str], None]
) -> Scores:
    """Train LoRA by each loop with the same recipe (rate, epochs, batch, linear schedule with warm-up, dropout).

    At one seed all start from the same head and the same LoRA matrices, and train on the same examples, in an order
    and with dropout of their own. All are evaluated by this project's `predict`.

    Args:
        examples: of the training split, drawn by the seed.
    """
    with machine.threads(threads):
        return _compare(Setting(files), model, seeds, examples, told)


def _compare(setting: Setting, model: str, seeds: Sequence[int], examples: int, told: Callable[[str], None]) -> Scores:
    from bench.train.loop import Placement, predict

    usual = setting.method("lora").recipe(setting.context, setting.config)
    recipe = setting.recipe("lora", usual.epochs).model_copy(update={"min_steps": usual.min_steps})
    test = setting.encoded(setting.splits["test"])
    task = setting.task
    found = Scores(model, task.name, task.metric, examples, len(test), recipe.epochs)
    for seed in seeds:
        data = setting.sample(examples, seed)
        for loop in LOOPS:
            told(f"seed {seed}: {CONTENDERS[loop].what}")
            contender = CONTENDERS[loop].make(setting, seed)
            contender.prepare(data, recipe, seed)()
            answers = predict(contender.module, test, Placement())
            value = metrics.score(task.metric, answers, test.references, task.labels)[task.metric]
            if value is None:
                continue
            found.by_loop.setdefault(loop, {})[seed] = value
            parts = contributions(task.metric, answers, test.references, task.labels)
            if parts is not None:
                found.contributed.setdefault(loop, {})[seed] = parts
    return found


def to_json(found: Scores) -> dict[str, Any]:
    """Scores by seed, and differences with their intervals, in units of the metric."""
    return {
        "model": found.model,
        "task": found.task,
        "metric": found.metric,
        "train_examples": found.train_examples,
        "test_examples": found.test_examples,
        "epochs": found.epochs,
        "loops": [
            {"name": loop, "what": CONTENDERS[loop].what, "scores": {str(s): v for s, v in scores.items()}}
            for loop, scores in found.by_loop.items()
        ],
        "differences": [
            {
                "first": LOOPS[0],
                "second": loop,
                "difference": one.difference,
                "ci95_low": one.ci95_low,
                "ci95_high": one.ci95_high,
                "n_seeds": one.n_seeds,
                "n_examples": one.n_examples,
                "minimum_detectable": one.minimum_detectable,
            }
            for loop in LOOPS[1:]
            if (one := found.compared(loop)) is not None
        ],
    }


def scores_text(found: Scores) -> str:
    """The loops' scores, and this project's less each other's."""
    rows = []
    for loop in found.by_loop:
        summary = found.summary(loop)
        other = found.compared(loop) if loop != LOOPS[0] else None
        known = other is not None and other.ci95_low is not None
        rows.append(
            {
                "loop": loop,
                "what": CONTENDERS[loop].what,
                found.metric: "-" if summary is None else _with_spread(summary),
                "lora - it": "" if other is None else f"{other.difference:+.4f}",
                "95 % interval": f"{other.ci95_low:+.4f} to {other.ci95_high:+.4f}" if other and known else "",
            }
        )
    seeds = len(next(iter(found.by_loop.values()), {}))
    return (
        f"{text_table(rows, ['left', 'left', 'right', 'right', 'right'])}\n\n"
        f"{found.model}, {found.task}: LoRA with one recipe by each loop, {found.train_examples:,} training examples, "
        f"{found.epochs:g} epochs, {seeds} seeds;\nscored on {found.test_examples:,} test examples. The interval is "
        "that of the difference, over seeds and test examples together."
    )


def _with_spread(summary: Summary) -> str:
    return f"{summary.mean:.4f}" + ("" if summary.std is None else f" ± {summary.std:.4f}")
