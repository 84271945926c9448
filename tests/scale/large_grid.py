"""Records of a large grid, of the usual size: `python tests/scale/large_grid.py 10000 FOLDER`.

Up to 40 methods x 25 tasks x 20 models x 5 seeds. Tasks are of all kinds, one in five has an extra test, one cell in
forty failed. A record takes some 15 to 40 kB, as a cell of a thousand steps and a few hundred test examples does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # pytest finds these by itself
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from made import failed, memory, parameters, record, speed

from bench.plugins.recipe import Recipe
from bench.records.record import Data, ExtraTest, Record
from bench.records.store import Store

METHODS = [(name, f"r={size}" if size else "") for name in "abcdefgh" for size in (0, 2, 4, 8, 16)]
METRICS = ("accuracy", "f1", "matthews", "entity_f1", "spearman")
STEPS, EXAMPLES, SENTENCES, WORDS = 900, 500, 180, 14
LABELS = ["O", *(f"{end}-{kind}" for kind in ("LOC", "ORG", "PER", "MISC") for end in "BI")]
ENVIRONMENT = {
    "python": "3.11.7",
    "machine": {"cpu_model": "a CPU", "cpu_cores_allowed": 2, "memory_limit_mib": None, "gpus": []},
    "versions": dict.fromkeys(("torch", "transformers", "peft", "numpy", "scipy", "tokenizers"), "1.2.3"),
    "code": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
}
RECIPE = Recipe(learning_rate=2e-3, epochs=3, chosen_by="a test, by hand")
Point = tuple[int, int, int, int]  # model, task, method, seed


def grid() -> Iterator[Point]:
    return product(range(20), range(25), range(len(METHODS)), range(5))


def answers(task: int, skill: float, draw: np.random.Generator) -> tuple[Any, Any]:
    """Predictions and references: [examples], or of a token task [sentences, words]."""
    fixed, metric = np.random.default_rng(task), METRICS[task % len(METRICS)]
    if metric == "spearman":
        right = fixed.normal(size=EXAMPLES).round(2)
        return right + draw.normal(scale=1.2 - skill, size=EXAMPLES), right
    if metric != "entity_f1":
        right = fixed.integers(0, 2, EXAMPLES)
        return np.where(draw.random(EXAMPLES) < skill, right, 1 - right), right
    shape = (SENTENCES, WORDS)
    right = fixed.integers(0, len(LABELS), shape) * (fixed.random(shape) < 0.3)
    wrong = (draw.random((SENTENCES, 1)) > skill) & (draw.random(shape) < 0.2)
    return np.where(wrong, draw.integers(0, len(LABELS), shape), right), right


def make(point: Point) -> Record:
    """The record of a cell; the same one every time."""
    model, task, at, seed = point
    (method, variant), metric, draw = METHODS[at], METRICS[task % len(METRICS)], np.random.default_rng(point)
    common: dict[str, Any] = {
        "of": {"variant": variant, "params": {"r": variant}, "task": f"task-{task:02d}", "model": f"model-{model:02d}"},
        "environment": ENVIRONMENT,
        "recipe": RECIPE,
    }
    losses = (0.2 + 0.6 * np.exp(-np.arange(STEPS) / 200) + draw.normal(0, 0.05, STEPS)).tolist()
    if draw.random() < 1 / 40:
        trace = "".join(f'  File "bench/step_{line}.py", line {line}, in step\n    go()\n' for line in range(20))
        return failed(method, seed, "oom", traceback=trace, last_step=120, losses=losses[:120], **common)
    skill = 0.6 + 0.3 * at / len(METHODS) + float(draw.normal(0, 0.02))
    given, right = (each.tolist() for each in answers(task, skill, draw))
    harder = ExtraTest(scores={metric: skill - 0.1}, predictions=given[:60], references=right[:60])
    return record(
        method,
        seed,
        metric=metric,
        scores={metric: skill, "other": skill / 2},
        parameters=parameters(trainable=1000 * (at + 1)),
        memory=memory(train_peak_mib=1000.0 + float(draw.normal(0, 20)), eval_peak_mib=700.0),
        speed=speed(train_examples_per_second=60 + float(draw.normal(0, 2)), step_p50_ms=16.0, machine_gflops=100.0),
        data=Data(examples={"test": EXAMPLES}, labels=LABELS if metric == "entity_f1" else ["n", "y"],
                  label_counts={}, digest=f"sha256:{task}"),
        losses=losses,
        predictions=given,
        references=right,
        extra_tests={"harder": harder} if task % 5 == 0 else {},
        last_step=STEPS,
        **common,
    )  # fmt: skip


def write(folder: Path, points: Sequence[Point]) -> int:
    """Write their records; how many bytes. Without waiting for the disk each time, as `Store.write` does."""
    store, size = Store(folder), 0
    store.records.mkdir(parents=True, exist_ok=True)
    for point in points:
        made = make(point)
        size += store.path(made.id).write_text(made.to_json(), encoding="utf-8")
    return size


if __name__ == "__main__":
    count = int(sys.argv[1])
    print(f"{count:,} records, {write(Path(sys.argv[2]), list(islice(grid(), count))) / count:,.0f} bytes each")
