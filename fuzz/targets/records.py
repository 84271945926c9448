"""Records of others, and what is known of a machine's noise."""

from __future__ import annotations

import json
import shutil
from functools import cache
from typing import Any

from fuzz.choices import Choices, altered
from fuzz.targets.target import Target, cell_with, file_of, scratch


def _record(data: bytes) -> object:
    """A record's own bytes, read as a file of a results folder."""
    from bench.errors import StoreError
    from bench.records.store import Store

    with file_of("0123456789abcdef.json", data) as path:
        records = path.parent / "records"
        records.mkdir()
        path.rename(records / path.name)
        store = Store(path.parent)
        found, faults = store.all()
        for fault in faults:
            raise StoreError(fault)
    return [record.to_json() for record in found]


def _record_seeds() -> list[bytes]:
    return [json.dumps(_whole_record()).encode()]


def _records(data: bytes) -> object:
    """Several records with parts replaced: everything that is read goes through every table and the page."""
    from bench import report
    from bench.comparison import formats
    from bench.comparison.judge import compare_runs
    from bench.leaderboard import files
    from bench.leaderboard.columns import TABLES
    from bench.leaderboard.load import load_records
    from bench.leaderboard.shown import FORMATS, TEXT, shown
    from bench.leaderboard.tables import Tables
    from bench.records.store import Store
    from bench.runner.progress import outcome_line

    choices = Choices(data)
    folder = scratch() / "results"
    shutil.rmtree(folder, ignore_errors=True)
    for side in ("base", "new"):
        records = folder / side / "records"
        records.mkdir(parents=True)
        for at in range(choices.number(1, 4)):
            content = _whole_record(seed=at % 3, method=("head", "lora")[at // 3])
            for _ in range(choices.number(0, 4)):
                content = altered(content, choices)
            # Of two that say they are one cell the other one is a fault; most should be read.
            name = f"{at:016x}"
            if isinstance(content, dict) and choices.number(0, 7) < 7:
                content["id"] = name
            text = json.dumps(content)
            (records / f"{name}.json").write_text(text, encoding="utf-8")
    base, new = (load_records([folder / side], "all").records for side in ("base", "new"))
    found = load_records([folder / "base", folder / "new"], "all").records
    tables = Tables(found)
    files.texts(tables)
    for record in Store(folder / "base").all()[0]:
        outcome_line(record)
    labels = [None, *(line["method"] for line in tables.lines("overall"))]
    against = labels[choices.number(0, len(labels) - 1)]
    texts = [shown(name, tables, form, against) for name in TABLES for form in (TEXT, *FORMATS)]
    compared = compare_runs(base, new)
    texts += [formats.as_text(compared), formats.as_markdown(compared), formats.as_junit(compared)]
    texts.append(json.dumps(formats.as_dict(compared), allow_nan=False))
    if found and choices.number(0, 15) == 1:  # a third of a second each
        texts.append(report.render(found))
    return "".join(texts).encode()


def _records_seeds() -> list[bytes]:
    return [bytes(range(256)), bytes(64), bytes(range(255, -1, -3))]


@cache
def _record_text() -> str:
    from bench.grid import seeds as streams
    from bench.plugins.recipe import Recipe
    from bench.records.record import Data, ExtraTest, Memory, Parameters, Record, Speed

    cell = cell_with({"epochs": 2.0})
    answers = {"predictions": [0, 1, 1, 0, 1], "references": [0, 1, 0, 0, 1]}
    made = Record(
        bench_version="0.1.0", id="0123456789abcdef", cell=cell, status="ok", reason="none", traceback="a\nb",
        last_step=3, started_at="2026-01-01T00:00:00.000+00:00", finished_at="2026-01-01T00:01:00.000+00:00",
        seeds=streams.streams(0), metric="matthews", higher_is_better=True,
        scores={"matthews": 0.5, "accuracy": 0.75}, constant_score=0.0, validation_scores=[0.25, None],
        validation_steps=[8, 16], chosen_step=8,
        recipe=Recipe(learning_rate=1e-3, epochs=2, chosen_by="me"),
        parameters=Parameters(base=100, trainable=10, head=4, method=10, share_percent=10.0,
                              share_with_head_percent=14.0, formula=10),
        adapter_bytes=4608, inference_flops=645_600_768,
        memory=Memory(kind="cpu-rss", train_peak_mib=100.0, train_growth_mib=20.0, train_reserved_mib=None,
                      eval_peak_mib=90.0, eval_growth_mib=10.0, eval_reserved_mib=None),
        speed=Speed(train_examples_per_second=50.0, train_tokens_per_second=500.0, step_p50_ms=1.0, step_p95_ms=2.0,
                    steps_counted=7, steps_dropped=3, eval_examples_per_second=99.0, void=None, workers=1,
                    exclusive=True, machine_gflops=100.0),
        data=Data(examples={"train": 3}, labels=["ham", "spam"], label_counts={"train": {"ham": 3}}, digest="sha256:0"),
        timeline={"train": 8.0, "untracked": 2.0, "total": 10.0}, losses=[0.5, 0.25], **answers,
        extra_tests={"harder": ExtraTest(scores={"matthews": 0.5}, constant_score=0.0, **answers)},
        environment={"machine": {"cpu_model": "A CPU", "cpu_cores_allowed": 2, "gpus": [{"name": "A GPU"}]},
                     "versions": {"torch": "2"}, "code": {"commit": "abc", "dirty": False}},
    )  # fmt: skip
    return made.to_json()


METRICS = (
    ("matthews", [0, 1, 1, 0, 1], [0, 1, 0, 0, 1]),
    ("spearman", [0.5, 1.0, 2.0, 0.25], [0.0, 1.0, 3.0, 0.5]),
    ("entity_f1", [[0, 1], [1], [0, -1]], [[0, 1], [0], [1, 1]]),
    ("f1_macro", [[0, 1], [], [1]], [[0], [0], [0, 1]]),
    ("token_f1_macro", [[0, 1], [1], [0, -1]], [[0, 1], [0], [1, 1]]),
)


def _whole_record(seed: int = 0, method: str = "head") -> dict[str, Any]:
    """A record with something in every field; which metric depends on the method, so that all kinds come up."""
    made: dict[str, Any] = json.loads(_record_text())
    metric, predictions, references = METRICS[seed % len(METRICS)] if method == "lora" else METRICS[0]
    made["cell"] |= {"seed": seed, "method": method, "task": metric}
    made |= {"metric": metric, "predictions": predictions, "references": references}
    made["scores"][metric] = 0.5 + seed / 10
    made["data"]["labels"] = ["B-ham", "I-ham"]
    return made


def _noise(data: bytes) -> object:
    from bench.comparison import noise

    with file_of("noise.json", data) as path:
        found = noise.load(path)
    for spread in found.quantities.values():
        noise.ratio_test([0.1, -0.2, 0.05], spread, noise.spread_over_seeds([[0.1, 0.2]]))
    return found.to_json()


def _noise_seeds() -> list[bytes]:
    spread = {"between_sd": 0.01, "within_sd": 0.02, "between_df": 4, "within_df": 20, "cells": 6}
    made = {
        "schema_version": 1, "bench_version": "0.1.0", "profile": "cpu", "repeats": 5, "cells": 6,
        "machine": {"cpu_model": "A CPU", "cpu_cores": 2, "gpus": ["A GPU"]},
        "quantities": {"train_examples_per_second": spread, "peak_train_memory_mib": {**spread, "between_sd": None}},
    }  # fmt: skip
    return [json.dumps(made).encode()]


TARGETS = (
    Target("records", _records, _records_seeds),
    Target("record", _record, _record_seeds),
    Target("noise", _noise, _noise_seeds),
)
