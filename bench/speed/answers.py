"""What was measured, as lines that answer the project's targets, and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.measure.time import DROPPED_STEPS
from bench.speed.catalogue import CONTENDERS, HEAD_EPOCHS
from bench.speed.rounds import Ratio, ratio
from bench.speed.setting import BATCH
from bench.speed.suite import Measured


@dataclass(frozen=True)
class Answer:
    """One question, what was measured, and the target where there is one.

    ratio: figures round by round; one round where something was measured once. unit: "x", or "%" for a ratio that is
    read as a share. at_most: whether less is better.
    """

    key: str
    question: str
    ratio: Ratio
    target: float | None = None
    unit: str = "x"
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target; None: there is none."""
        if self.target is None:
            return None
        return self.ratio.median <= self.target if self.at_most else self.ratio.median >= self.target


# (key, question, first, second, target)
_CONTESTS: Sequence[tuple[str, str, str, str, float | None]] = (
    ("lora_over_trainer", "LoRA over the Trainer with PEFT", "lora", "trainer", 2.2),
    ("lora_over_trainer_grouped", "LoRA over the same, grouped by length", "lora", "trainer-grouped", 1.25),
    (
        "lora_over_trainer_grouped_large",
        "LoRA over the same, grouped as with 6,400 examples",
        "lora",
        "trainer-grouped-large",
        1.25,
    ),
    ("lora_over_peft_loop", "LoRA over a loop as PEFT's comparison has it", "lora", "peft-loop", None),
    ("pasta_over_full", "PASTA over full fine-tuning", "pasta", "full", 1.4),
    ("pasta_over_reference", "PASTA over its authors' formulation and batches", "pasta", "pasta-reference", 3.0),
)


def answers(found: Measured) -> list[Answer]:
    """Everything that was measured enough of to be answered, in a fixed order."""
    return list(_answers(found))


def _answers(found: Measured) -> Iterator[Answer]:
    speeds = found.examples_per_second
    for key, question, first, second, target in _CONTESTS:
        if first in speeds and second in speeds:
            yield Answer(key, question, ratio(speeds[first], speeds[second]), target)
    if found.on_one_batch:
        both = ratio(found.on_one_batch["pasta"], found.on_one_batch["pasta-reference"])
        yield Answer(
            "pasta_over_reference_on_one_batch", f"PASTA over that formulation on one batch of {BATCH}", both, 3.0
        )
    if found.gflops:
        shares = ratio(found.rate_shares, [1.0] * len(found.gflops))
        yield Answer("pasta_of_product_rate", "PASTA's share of the rate of matrix products", shares, 0.6, "%")
    if found.head_epochs:
        firsts, laters = zip(*found.head_epochs, strict=True)
        yield Answer("head_later_epochs", "the head alone, a later epoch over the first", ratio(firsts, laters), 20.0)
    mine, its = found.growth_mib.get("pasta"), found.growth_mib.get("full")
    if mine and its:
        share = ratio([mine], [its])
        yield Answer("pasta_memory_of_full", "PASTA's growth of memory, of full's", share, 0.6, "%", at_most=True)


def to_json(found: Measured) -> dict[str, Any]:
    """All figures, with units in the keys; what was not measured is absent or null."""
    from bench import __version__
    from bench.measure import environment

    request, work = found.request, found.work
    return {
        "bench_version": __version__,
        "environment": environment.snapshot(),
        "model": request.model,
        "task": found.task,
        "threads": request.threads,
        "rounds": request.rounds,
        "batch_size_examples": BATCH,
        "examples_per_round": request.examples,
        "dropped_steps": DROPPED_STEPS,
        "contenders": [
            {
                "name": name,
                "what": CONTENDERS[name].what,
                "examples_per_second": speeds,
                "median_examples_per_second": statistics.median(speeds),
                "tokens_per_second": found.tokens_per_second[name],
            }
            for name, speeds in found.examples_per_second.items()
        ],
        "one_batch": [{"name": name, "examples_per_second": speeds} for name, speeds in found.on_one_batch.items()],
        "products": {
            "gflop_per_second": found.gflops,
            "product_tokens": found.product_tokens or None,
            "pasta_layers_flop_per_token": work.layers,
            "pasta_attention_flop_per_token": work.attention,
        },
        "head": [
            {"first_epoch_seconds": first, "later_epoch_seconds": later, "epochs": HEAD_EPOCHS}
            for first, later in found.head_epochs
        ],
        "memory": {f"{name}_growth_mib": growth for name, growth in found.growth_mib.items()},
        "answers": [
            {
                "key": answer.key,
                "question": answer.question,
                "median_ratio": answer.ratio.median,
                "mean_ratio": answer.ratio.mean,
                "ci95_low_ratio": answer.ratio.low,
                "ci95_high_ratio": answer.ratio.high,
                "ratios": list(answer.ratio.rounds),
                "target_ratio": answer.target,
                "target_is": "at most" if answer.at_most else "at least",
                "met": answer.met,
            }
            for answer in answers(found)
        ],
    }
