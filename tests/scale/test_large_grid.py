"""Ten thousand records of the usual size are loaded into memory, without an index: what one of them takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from made import failed, memory, parameters, record, speed

from bench.plugins.recipe import Recipe
from bench.records.record import Data, ExtraTest, Record
from bench.records.store import Store

COUNT, STEPS, EXAMPLES, SENTENCES = 200, 900, 500, (180, 14)
COMMON: dict[str, Any] = {
    "recipe": Recipe(learning_rate=2e-3, epochs=3, chosen_by="a test, by hand"),
    "environment": {
        "machine": {"cpu_model": "a CPU", "cpu_cores_allowed": 2, "memory_limit_mib": None, "gpus": []},
        "versions": dict.fromkeys(("torch", "transformers", "peft", "numpy", "scipy", "tokenizers"), "1.2.3"),
        "code": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    },
}


def make(seed: int) -> Record:
    """By turns of a classification, a regression and a token classification; one in forty failed."""
    draw = np.random.default_rng(seed)
    losses = draw.normal(0.5, 0.05, STEPS).tolist()
    if seed % 40 == 0:
        return failed("head", seed, traceback="a line of a traceback\n" * 60, losses=losses[:120], **COMMON)
    answers = [draw.integers(0, 2, EXAMPLES), draw.normal(size=EXAMPLES), draw.integers(0, 9, SENTENCES)][seed % 3]
    given = answers.tolist()
    return record(
        "head",
        seed,
        parameters=parameters(),
        memory=memory(),
        speed=speed(),
        data=Data(examples={"test": EXAMPLES}, labels=["n", "y"], label_counts={}, digest="sha256:0"),
        losses=losses,
        predictions=given,
        references=given,
        extra_tests={"harder": ExtraTest(predictions=given[:60], references=given[:60])} if seed % 5 == 0 else {},
        **COMMON,
    )


def test_ten_thousand_records_take_less_than_a_third_of_a_gigabyte(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed in range(COUNT):
        store.write(make(seed))
    assert sum(path.stat().st_size for path in store.records.iterdir()) / COUNT > 15_000
    tracemalloc.start()
    try:
        records, faults = store.all()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(records), faults) == (COUNT, [])
    assert taken / COUNT * 10_000 < 330e6
