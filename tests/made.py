"""Cells and records made by hand, for tests of what is done with them."""

from __future__ import annotations

import hashlib
from typing import Any

from bench import profiles
from bench.grid import seeds
from bench.grid.cell import Cell
from bench.grid.suites import Budget
from bench.records.record import Memory, Parameters, Record, Speed

PROFILE = profiles.load("cpu")
_LETTERS = str.maketrans("0123456789", "ghijklmnop")  # digits are masked where near-duplicates are looked for


def unlike_any(number: int) -> str:
    """A text for each number, without a near-duplicate among those of other numbers."""
    return hashlib.sha256(str(number).encode()).hexdigest().translate(_LETTERS)


def cell(method: str = "head", seed: int = 0, **changes: Any) -> Cell:
    fields: dict[str, Any] = {
        "params": {},
        "variant": "",
        "task": "sms-spam",
        "task_source": "./sms.csv",
        "task_revision": "tree-sha256:aa",
        "model": "minilm-l6",
        "model_source": "./minilm",
        "model_revision": "tree-sha256:bb",
        "profile": PROFILE,
        "preset": "quick",
        "budget": Budget(train_examples=100),
        "recipe": {},
        "code": "0123456789abcdef",
    }
    return Cell(method=method, seed=seed, **{**fields, **changes})


def record(
    method: str = "head", seed: int = 0, score: float | None = 0.5, *, of: dict[str, Any] | None = None, **changes: Any
) -> Record:
    """A record that is ok, with a score and costs; of: fields of its cell that are not the usual ones."""
    made = cell(method, seed, **(of or {}))
    fields: dict[str, Any] = {
        "status": "ok",
        "started_at": f"2026-01-01T00:00:{seed:02d}.000+00:00",
        "finished_at": f"2026-01-01T00:01:{seed:02d}.000+00:00",
        "seeds": seeds.streams(seed),
        "metric": "matthews",
        "higher_is_better": True,
        "scores": {"matthews": score, "accuracy": 0.75},
        "timeline": {"train": 8.0, "untracked": 2.0, "total": 10.0},
    }
    return Record(bench_version="0.1.0", id=made.id, cell=made, **{**fields, **changes})


def failed(method: str = "head", seed: int = 0, status: str = "oom", **changes: Any) -> Record:
    """A record of a cell that came to nothing before anything was known."""
    nothing: dict[str, Any] = {"metric": None, "higher_is_better": None, "scores": {}, "timeline": {}}
    return record(method, seed, None, **{**nothing, "status": status, "reason": f"a case of {status}", **changes})


def parameters(**changes: Any) -> Parameters:
    fields = {
        "base": 1000,
        "trainable": 10,
        "head": 4,
        "method": 10,
        "share_percent": 1.0,
        "share_with_head_percent": 1.4,
        "formula": None,
    }
    return Parameters(**{**fields, **changes})


def memory(**changes: Any) -> Memory:
    return Memory(**{**dict.fromkeys(Memory.model_fields), "kind": "cpu-rss", "train_peak_mib": 100.0, **changes})


def speed(**changes: Any) -> Speed:
    fields = {**dict.fromkeys(Speed.model_fields), "steps_counted": 7, "steps_dropped": 3, "workers": 1}
    return Speed(**{**fields, "train_examples_per_second": 50.0, **changes})


MACHINE = {"cpu_model": "A CPU", "cpu_cores_allowed": 2, "gpus": []}


def measured(
    method: str = "head",
    seed: int = 0,
    score: float | None = 0.5,
    *,
    train: float | None = 50.0,
    evaluation: float | None = 200.0,
    train_mib: float | None = 100.0,
    eval_mib: float | None = 80.0,
    trainable: int = 10,
    machine: dict[str, Any] | None = MACHINE,
    **changes: Any,
) -> Record:
    """A record with everything that two runs are compared on; train and evaluation in examples/s."""
    usual: dict[str, Any] = {
        "speed": speed(train_examples_per_second=train, eval_examples_per_second=evaluation),
        "memory": memory(train_peak_mib=train_mib, eval_peak_mib=eval_mib),
        "parameters": parameters(trainable=trainable, method=trainable),
        "adapter_bytes": 1000,
        "environment": {"machine": machine} if machine else {},
    }
    return record(method, seed, score, **{**usual, **changes})
