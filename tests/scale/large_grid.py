"""Records of a large grid, of a realistic size: `python tests/scale/large_grid.py 100000 FOLDER [--better 0.01]`.

Up to 40 methods x 25 tasks x 20 models x 5 seeds. Tasks are of all kinds, one in five has an extra test, one cell in
forty failed. A record takes some 15 to 40 KB, as a cell of a thousand steps and a few hundred test examples does.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
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
TASKS = [f"task-{at:02d}" for at in range(25)]
MODELS = [f"model-{at:02d}" for at in range(20)]
SEEDS = range(5)
STEPS, EXAMPLES, SENTENCES, WORDS = 800, 400, 150, 14
LABELS = ["O", *(f"{end}-{kind}" for kind in ("LOC", "ORG", "PER", "MISC") for end in "BI")]
ENVIRONMENT = {
    "python": "3.11.7",
    "platform": "Linux",
    "machine": {"cpu_model": "a CPU", "cpu_cores_allowed": 2, "memory_limit_mib": None, "gpus": []},
    "versions": dict.fromkeys(("torch", "transformers", "peft", "numpy", "scipy", "tokenizers"), "1.2.3"),
    "code": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    "settings": {"TOKENIZERS_PARALLELISM": "false"},
}
RECIPE = Recipe(learning_rate=2e-3, epochs=3, chosen_by="a test, by hand")
Point = tuple[str, str, tuple[str, str], int]


def grid() -> Iterator[Point]:
    """Model, task, method and seed of every cell there can be; a part of it has whole rows."""
    return product(MODELS, TASKS, METHODS, SEEDS)


def metric_of(task: str) -> str:
    return METRICS[TASKS.index(task) % len(METRICS)]


@cache
def truth(task: str) -> Any:
    """The right answers, as an array: [examples], of a token task [sentences, words]."""
    draw = np.random.default_rng(TASKS.index(task))
    match metric_of(task):
        case "entity_f1":
            return draw.integers(0, len(LABELS), (SENTENCES, WORDS)) * (draw.random((SENTENCES, WORDS)) < 0.3)
        case "spearman":
            return draw.normal(size=EXAMPLES).round(2)
        case _:
            return draw.integers(0, 2, EXAMPLES)


def answers(task: str, skill: float, draw: np.random.Generator) -> Any:
    """Of a token task whole sentences are right, or a few of their words are not."""
    right = truth(task)
    if metric_of(task) == "spearman":
        return right + draw.normal(scale=1.2 - skill, size=right.shape)
    if right.ndim == 1:
        return np.where(draw.random(right.shape) < skill, right, 1 - right)
    wrong = (draw.random((len(right), 1)) > skill) & (draw.random(right.shape) < 0.2)
    return np.where(wrong, draw.integers(0, len(LABELS), right.shape), right)


def make(point: Point, better: float = 0.0) -> Record:
    """The record of a cell; the same one every time. better: what every method scores more, about."""
    model, task, (method, variant), seed = point
    at = METHODS.index((method, variant))
    draw = np.random.default_rng([MODELS.index(model), TASKS.index(task), at, seed])
    of = {"variant": variant, "params": {"r": variant}, "task": task, "model": model}
    common: dict[str, Any] = {"environment": ENVIRONMENT, "recipe": RECIPE}
    losses = (0.2 + 0.6 * np.exp(-np.arange(STEPS) / 200) + draw.normal(0, 0.05, STEPS)).tolist()
    if draw.random() < 1 / 40:
        status = str(draw.choice(["oom", "error", "timeout"]))
        trace = "".join(f'  File "bench/step_{line}.py", line {line}, in step\n    go()\n' for line in range(20))
        return failed(method, seed, status, of=of, traceback=trace, last_step=120, losses=losses[:120], **common)
    skill = 0.6 + 0.3 * at / len(METHODS) + float(draw.normal(0, 0.02)) + better
    metric, score = metric_of(task), float(min(0.99, skill) + draw.normal(0, 0.01))
    given, right = answers(task, skill, draw).tolist(), truth(task).tolist()
    extra = (
        {"harder": ExtraTest(scores={metric: score - 0.1}, constant_score=0.4, predictions=given[:60],
                             references=right[:60])}
        if TASKS.index(task) % 5 == 0 else {}
    )  # fmt: skip
    trained = 1000 * (at + 1)
    return record(
        method,
        seed,
        of=of,
        metric=metric,
        scores={metric: score, "other": score / 2},
        constant_score=0.5,
        parameters=parameters(trainable=trained, method=trained, share_percent=trained / 227e3),
        memory=memory(train_peak_mib=1000.0 + float(draw.normal(0, 20)), eval_peak_mib=700.0),
        speed=speed(train_examples_per_second=60 + float(draw.normal(0, 2)), step_p50_ms=16.0, machine_gflops=100.0),
        data=Data(examples={"train": 1000, "test": EXAMPLES}, labels=LABELS if metric == "entity_f1" else ["n", "y"],
                  label_counts={}, digest=f"sha256:{task}"),
        adapter_bytes=4 * trained + 3500,
        timeline={"set up": 0.01, "read data": 0.1, "load model": 0.2, "train": 30 + seed / 7, "test": 1.9,
                  "untracked": 0.5, "total": 33 + float(draw.normal(0, 1))},
        losses=losses,
        predictions=given,
        references=right,
        extra_tests=extra,
        last_step=STEPS,
        **common,
    )  # fmt: skip


def write(folder: Path, points: Sequence[Point], better: float = 0.0) -> int:
    """Write their records; how many bytes. Without waiting for the disk each time, as `Store.write` does."""
    store, size = Store(folder), 0
    store.records.mkdir(parents=True, exist_ok=True)
    for point in points:
        made = make(point, better)
        size += store.path(made.id).write_text(made.to_json(), encoding="utf-8")
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--better", type=float, default=0.0)
    asked = parser.parse_args()
    points = list(islice(grid(), asked.count))
    if len(points) < asked.count:
        parser.error(f"the grid has {len(points)} cells")
    chunks = [points[at : at + 500] for at in range(0, len(points), 500)]
    with ProcessPoolExecutor() as processes:
        size = sum(processes.map(partial(write, asked.folder, better=asked.better), chunks))
    print(f"{len(points):,} records, {size / 1e9:.2f} GB, {math.ceil(size / len(points)):,} bytes each")


if __name__ == "__main__":
    main()
