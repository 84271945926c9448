"""Cells of every method on every kind of task, on a tiny model, and their numbers on file: `numbers.json`.

Each cell runs in this process, from its identity to its record. On file is what tables and comparisons rest on:
losses, predictions, scores, counts, seeds, the recipe, and how torch was set up.
"""

from __future__ import annotations

import gc
import json
import math
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import made
import tiny
import torch

from bench.grid import cell as grid
from bench.grid.suites import Budget
from bench.plugins import registry
from bench.plugins.recipe import Recipe
from bench.plugins.specs import build_method, parse
from bench.profiles import Profile
from bench.train import cell as cells
from bench.train import worker
from bench.train.assignment import Assignment

HERE = Path(__file__).parent
FILE = HERE / "numbers.json"
PLUGINS = (HERE / "tiny_tasks.py",)
COMMAND = "python tests/golden/make.py"
PYTHON = ".".join(platform.python_version_tuple()[:2])  # decides how code is written out before it is hashed
RAISE = f"raise {grid.__name__}.NUMERICS"
# Seven digits are on file. The last bits differ between processors; that grows a little in a few steps of training.
RELATIVE, ABSOLUTE = 1e-5, 1e-6
# Of a record; "torch" is added.
INCLUDED: Any = {
    **dict.fromkeys(("losses", "validation_scores", "chosen_step", "scores", "constant_score", "predictions"), True),
    "extra_tests": {"__all__": {"scores", "predictions"}},
    "parameters": {"base", "trainable", "head", "method", "formula"},
    "inference_flops": True,
    "data": {"examples"},
    "recipe": set(Recipe.model_fields) - {"chosen_by"},
    "seeds": True,
}

KINDS = ("classification", "pair", "multi-label", "regression", "token-classification")
METHODS = [
    "adapters", "bitfit", "full", "head", "ia3", "lora", "pasta", "pasta[share_layers=true]",
    "pasta[tokens=cls,dropout=0.2]", "peft:vera[r=8]", "prefix_tuning[tokens=4]", "prompt_tuning[tokens=4]",
]  # fmt: skip

PROFILE = Profile(
    name="whole-batches", summary="for tests", device="cpu", dtype="float32", threads=1, workers=1, micro_batch_size=32,
    eval_batch_size=128, matmul_precision="highest", deterministic=True, min_cores=1, min_memory_mib=1,
)  # fmt: skip
PARTS = {"name": "parts", "micro_batch_size": 3, "eval_batch_size": 5, "matmul_precision": "high"}


class Setting(NamedTuple):
    """What cells share. The number of steps depends on rounding: see the recipes."""

    profile: Profile
    budget: Budget
    recipe: dict[str, Any]
    seed: int


LAST = Setting(
    PROFILE,
    Budget(train_examples=40, validation_examples=16, test_examples=16, epochs_scale=0.1),
    {"epochs": 6, "min_steps": 0, "batch_size": 4},  # 6 x 0.1 is a bit more than 0.6, and ten times that than 6 steps
    seed=3,
)
SETTINGS = {
    "last": LAST,
    "best": Setting(
        PROFILE.model_copy(update={**PARTS, "deterministic": False}),
        Budget(
            train_examples=12,
            validation_examples=16,
            test_examples=16,
            epochs_scale=0.1,
            choose="best",
            validate_every=3,
        ),
        # 7.7 steps are 8, in two epochs of three steps and one of two.
        {"epochs": 1, "min_steps": 77, "batch_size": 4, "dropout": 0.1, "max_grad_norm": 1.0, "weight_decay": 0.01},
        seed=4,
    ),
    "balanced": LAST._replace(recipe={**LAST.recipe, "class_weights": "balanced"}),
    "on-validation": LAST._replace(
        budget=LAST.budget.model_copy(update={"test_examples": None, "score_on": "validation"}),
        # Batches are so large that lengths cut them into parts; 2.4 steps are 3.
        recipe={**LAST.recipe, "head_learning_rate": 1e-3, "warmup_ratio": 0.0, "batch_size": 10},
    ),
}


class Golden(NamedTuple):
    """One cell that is on file."""

    method: str
    kind: str
    setting: str

    @property
    def name(self) -> str:
        return f"{self.method} on {self.kind}, {self.setting}"


GOLDEN = [
    *(Golden(m, k, "best" if k in ("pair", "token-classification") else "last") for m in METHODS for k in KINDS),
    Golden("lora", "classification", "on-validation"),
    Golden("lora", "classification", "balanced"),
]


# A cell's numbers


@cache
def _model() -> tempfile.TemporaryDirectory[str]:
    """The tiny BERT's folder; it exists until the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="golden-")
    tiny.save(Path(folder.name))
    return folder


def numbers(golden: Golden, plugins: tuple[Path, ...] = PLUGINS, method: str | None = None) -> dict[str, Any]:
    """What is on file of a cell, which is run in this process; method: another name for the same method."""
    spec, setting, folder = parse(golden.method), SETTINGS[golden.setting], Path(_model().name)
    params = build_method(registry.methods(), spec).params.model_dump(mode="json")
    cell = made.cell(
        method or spec.name, setting.seed, params=params, task=f"golden-{golden.kind}", profile=setting.profile,
        budget=setting.budget, recipe=setting.recipe,
    )  # fmt: skip
    # Both take most of the time of a cell this small, and no number depends on them.
    with (
        disturbed_torch(),
        mock.patch.object(cells, "matmul_gflops", return_value=1.0),
        mock.patch.object(gc, "collect"),
    ):
        record, _ = worker.run_cell(Assignment(cell, folder, folder, plugins, 1, None), lambda data: None)
        torch_was = torch_settings()
    assert record.status == "ok", record.traceback
    found = record.model_dump(mode="json", include=INCLUDED, exclude_defaults=True) | {"torch": torch_was}
    rounded: dict[str, Any] = json.loads(json.dumps(found), parse_float=lambda text: float(f"{float(text):.7g}"))
    return rounded


def torch_settings() -> dict[str, Any]:
    """What a profile sets in torch, as it is now."""
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
    }


@contextmanager
def disturbed_torch() -> Iterator[None]:
    """Torch set up as no profile does, so that a setting that is no longer applied shows; restored afterwards."""
    before = torch_settings()
    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(not before["deterministic"])
    try:
        yield
    finally:
        torch.set_num_threads(before["threads"])
        torch.set_float32_matmul_precision(before["matmul_precision"])
        torch.use_deterministic_algorithms(before["deterministic"])


# The file


def read() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


def write() -> str | None:
    """Write the file; returns why not if numbers moved and NUMERICS was not raised."""
    cells_now = {golden.name: numbers(golden) for golden in GOLDEN}
    if FILE.exists() and (before := read())["versions"] == versions():
        wrong = problem(before, cells_now, grid.NUMERICS, method_code())
        if wrong and RAISE in wrong:
            return wrong
    head = {"numerics": grid.NUMERICS, "versions": versions(), "python": PYTHON, "code": method_code()}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    rows = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in cells_now.items()]
    text = ",\n".join([*lines, '"cells": {\n' + ",\n".join(rows) + "\n}"])
    FILE.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    return None


def versions() -> dict[str, str]:
    """The libraries whose versions are part of a cell's identity, without the suffix of torch's builds."""
    found = dict(line.split("==") for line in grid._libraries())
    return {name: version.partition("+")[0] for name, version in found.items()}


def method_code() -> dict[str, str]:
    """A hash of each method's own files, which are part of the identity of its cells."""
    methods = registry.methods()
    return {name: grid.code_version([methods.get(name).file]) for name in sorted({parse(m).name for m in METHODS})}


def problem(before: dict[str, Any], now: dict[str, Any], numerics: int, code: dict[str, str]) -> str | None:
    """What is wrong with the file and what to do; None: nothing. The libraries must be those of the file.

    Args:
        before: the file. now: cells' numbers. numerics, code: `NUMERICS` and `method_code()` now.
    """
    if numerics != before["numerics"]:
        return f"The file is of NUMERICS {before['numerics']}, the code is of {numerics}: run `{COMMAND}`."
    on_file = {name: found for name, found in now.items() if name in before["cells"]}
    changed = {name: lines for name, found in on_file.items() if (lines := moved(before["cells"][name], found))}
    if changed:
        methods = {parse(name.partition(" on ")[0]).name for name in changed}
        # A change to a method's own files has given its cells other ids already.
        by_bench = any(before["code"].get(method) == code.get(method) for method in methods)
        todo = f"{RAISE} and" if by_bench else "the ids of these cells changed with the methods' files:"
        cells_changed = [f"  {name}: {'; '.join(lines[:3])} ({len(lines)} in all)" for name, lines in changed.items()]
        return "\n".join([f"Numbers moved: {todo} run `{COMMAND}`.", *cells_changed])
    new = [name for name in now if name not in before["cells"]]
    return f"Not on file: {', '.join(new)}. Run `{COMMAND}`." if new else None


def moved(before: Any, now: Any, where: str = "") -> list[str]:
    """What differs between two of `numbers`, one line each."""
    if isinstance(before, list) and isinstance(now, list):
        before, now = dict(enumerate(before)), dict(enumerate(now))
    if isinstance(before, dict) and isinstance(now, dict):
        names = dict.fromkeys([*before, *now])
        return [line for name in names for line in moved(before.get(name), now.get(name), f"{where} {name}".strip())]
    both = isinstance(before, float) and isinstance(now, float)
    same = math.isclose(before, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE) if both else before == now
    return [] if same else [f"{where}: {before} on file, {now} now"]
