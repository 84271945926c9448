"""Cells of every method on every kind of task, on a tiny model, and what is on file of them: `numbers.json`.

A cell here is a real one, from its identity to its record, in this process. What counts is what a table or a
comparison of results can rest on: losses, answers, scores, counts, seeds, the recipe, and how torch was set up.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from bench import profiles
from bench.check import encoder
from bench.grid import cell as grid
from bench.grid.plugin_code import meaning, sources
from bench.grid.suites import Budget
from bench.plugins import registry
from bench.profiles import Profile
from bench.records.record import Record
from bench.train import cell as cells

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILE = HERE / "numbers.json"
PLUGINS = (HERE / "tiny_tasks.py",)
COMMAND = "python tests/golden/make.py"
KINDS = ("classification", "pair", "regression", "token-classification")
# Seven digits are on file. The last bits differ between processors; that grows a little in a few steps of training.
RELATIVE, ABSOLUTE = 1e-5, 1e-6

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "adapters": ("adapters", {}),
    "bitfit": ("bitfit", {}),
    "full": ("full", {}),
    "head": ("head", {}),
    "ia3": ("ia3", {}),
    "lora": ("lora", {}),
    "pasta": ("pasta", {}),
    "pasta[share_layers=true]": ("pasta", {"share_layers": True}),
    "pasta[tokens=cls,dropout=0.2]": ("pasta", {"tokens": "cls", "dropout": 0.2}),
    "peft:vera": ("peft:vera", {"r": 8}),
    "prefix_tuning": ("prefix_tuning", {"tokens": 4}),
    "prompt_tuning": ("prompt_tuning", {"tokens": 4}),
}


def profile(name: str, **changes: Any) -> Profile:
    settings: dict[str, Any] = {
        "summary": "for tests", "device": "cpu", "dtype": "float32", "threads": 1, "workers": 1, "micro_batch_size": 32,
        "eval_batch_size": 128, "matmul_precision": "highest", "deterministic": True, "exclusive": False,
        "min_cores": 1, "min_memory_mib": 1,
    }  # fmt: skip
    return Profile(name=name, **{**settings, **changes})


@dataclass(frozen=True)
class Setting:
    """What cells have in common. Rounding decides the number of steps: see the recipes."""

    profile: Profile
    budget: Budget
    recipe: dict[str, Any]
    seed: int


SETTINGS = {
    # 6 x 0.1 is a bit more than 0.6, and ten steps an epoch times that a bit more than 6 steps.
    "last": Setting(
        profile("whole-batches"),
        Budget(train_examples=40, validation_examples=16, test_examples=16, epochs_scale=0.1),
        {"epochs": 6, "min_steps": 0, "batch_size": 4},
        seed=3,
    ),
    # 7.7 steps are 8, in two epochs of three steps and one of two.
    "best": Setting(
        profile("parts", micro_batch_size=3, eval_batch_size=5, matmul_precision="high", deterministic=False),
        Budget(train_examples=12, validation_examples=16, test_examples=16, epochs_scale=0.1, choose="best"),
        {"epochs": 1, "min_steps": 77, "batch_size": 4, "dropout": 0.1, "max_grad_norm": 1.0, "weight_decay": 0.01},
        seed=4,
    ),
    "on-validation": Setting(
        profile("whole-batches"),
        Budget(train_examples=40, validation_examples=16, epochs_scale=0.1, score_on="validation"),
        {"epochs": 6, "min_steps": 0, "batch_size": 4, "head_learning_rate": 1e-3, "warmup_ratio": 0.0},
        seed=3,
    ),
}  # fmt: skip
# Applied alone: what needs a GPU, or more cores than there may be.
APPLIED = (
    profile("shared-cores", threads="all", workers=2, matmul_precision="medium", deterministic=False),
    profile("gpu", device="cuda", min_gpu_memory_mib=1, threads=2, min_cores=2),
)


@dataclass(frozen=True)
class Golden:
    """One cell that is on file."""

    method: str
    kind: str
    setting: str

    @property
    def name(self) -> str:
        return f"{self.method} on {self.kind}, {self.setting}"


GOLDEN = [
    Golden(method, kind, "last" if kind in ("classification", "regression") else "best")
    for method in METHODS
    for kind in KINDS
] + [Golden("lora", "classification", "on-validation")]


# What comes out


@cache
def _model() -> tempfile.TemporaryDirectory[str]:
    """The tiny BERT's folder, there until the process ends."""
    from transformers import BertModel

    folder = tempfile.TemporaryDirectory(prefix="golden-")
    encoder.random_model(lambda: BertModel(encoder.tiny_config())).save_pretrained(folder.name)
    encoder.tiny_tokenizer().save_pretrained(folder.name)
    return folder


def record_of(golden: Golden, plugins: tuple[Path, ...] = PLUGINS, **changes: Any) -> Record:
    """The record of a cell, run in this process; changes: of the cell."""
    method, params = METHODS[golden.method]
    setting = SETTINGS[golden.setting]
    fields: dict[str, Any] = {
        "method": method, "params": params, "variant": "", "task": f"golden-{golden.kind}", "task_source": "./made-up",
        "task_revision": "none", "model": "tiny", "model_source": "./tiny", "model_revision": "none",
        "profile": setting.profile, "preset": "golden", "budget": setting.budget, "recipe": setting.recipe,
        "seed": setting.seed, "code": "0" * 16,
    }  # fmt: skip
    cell = grid.Cell(**{**fields, **changes})
    place = Path(_model().name)
    assignment = cells.Assignment(cell, place, place, plugins, 1, None)
    # What takes most of the time of cells so small and decides no number of theirs.
    with mock.patch.object(cells, "matmul_gflops", return_value=1.0), mock.patch.object(gc, "collect"):
        record = Record(**cells.run(assignment, lambda data: None))
    assert record.status == "ok", record.traceback
    return record


def numbers(golden: Golden, plugins: tuple[Path, ...] = PLUGINS, **changes: Any) -> dict[str, Any]:
    """What is on file of a cell."""
    with torch_as_it_was():
        upset()
        record = record_of(golden, plugins, **changes)
        how = applied()
    assert record.data is not None
    assert record.recipe is not None
    assert record.parameters is not None
    return _rounded(
        {
            "losses": record.losses,
            "validation_scores": record.validation_scores,
            "chosen_epoch": record.chosen_epoch,
            "scores": record.scores,
            "constant_score": record.constant_score,
            "predictions": _short(record.predictions),
            "extra_tests": {
                name: {"scores": found.scores, "predictions": _short(found.predictions)}
                for name, found in record.extra_tests.items()
            },
            "parameters": {
                name: getattr(record.parameters, name) for name in ("base", "trainable", "head", "method", "formula")
            },
            "inference_flops": record.inference_flops,
            "examples": record.data.examples,
            "recipe": record.recipe.model_dump(mode="json", exclude_defaults=True, exclude={"chosen_by"}),
            "seeds": record.seeds,
            "torch": how,
        }
    )


def _short(answers: list[Any]) -> Any:
    """Answers that are indices as text: a digit an example, or a word of digits (`-` for a word that was cut off)."""
    if any(isinstance(each, float) for each in answers):
        return answers
    rows = [each if isinstance(each, list) else [each] for each in answers]
    texts = ["".join("-" if index < 0 else str(index) for index in row) for row in rows]
    return ("" if max(map(len, texts)) == 1 else " ").join(texts)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {str(key): _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


# How torch is set up

_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"


def applied() -> dict[str, Any]:
    """Everything that a profile may set in torch, as it is now."""
    import torch

    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "deterministic_warns_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn": [
            getattr(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic", "allow_tf32")
        ],
        "dtype": str(torch.get_default_dtype()),
        _VARIABLE: os.environ.get(_VARIABLE),
    }


def upset() -> None:
    """Set torch up as no profile does, so that what a profile does not set is seen."""
    import torch

    torch.set_num_threads(3)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(not torch.are_deterministic_algorithms_enabled())
    os.environ.pop(_VARIABLE, None)


@contextmanager
def torch_as_it_was() -> Iterator[None]:
    import torch

    before = applied()
    try:
        yield
    finally:
        torch.set_num_threads(before["threads"])
        torch.set_float32_matmul_precision(before["matmul_precision"])
        torch.use_deterministic_algorithms(before["deterministic"], warn_only=before["deterministic_warns_only"])
        os.environ.pop(_VARIABLE, None)
        if before[_VARIABLE] is not None:
            os.environ[_VARIABLE] = before[_VARIABLE]


def settings_of(applied_profile: Profile) -> dict[str, Any]:
    """How torch is set up by a profile on a machine of six cores."""
    import torch

    interop: list[int] = []  # which torch lets a process set once alone
    with (
        torch_as_it_was(),
        mock.patch.object(profiles, "cpu_cores_allowed", return_value=6),
        mock.patch.object(torch, "set_num_interop_threads", interop.append),
    ):
        upset()
        profiles.apply(applied_profile)
        return {**applied(), "interop_threads": interop}


# On file


def versions() -> dict[str, str]:
    """The libraries whose versions are part of a cell's identity; torch's builds for several devices are alike here."""
    found = dict(line.split("==") for line in grid._libraries())
    return {name: version.partition("+")[0] for name, version in found.items()}


def pinned() -> dict[str, str]:
    """The versions of these libraries in constraints.txt, which CI installs."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = dict(line.split("==") for line in lines if "==" in line)
    return {name: found[name] for name in grid.NUMERIC_LIBRARIES}


def plugin_code() -> dict[str, str]:
    """A hash of each method's own files, which are part of the identity of its cells alone."""
    methods = registry.methods()

    def code(name: str) -> str:
        text = "".join(sorted(map(meaning, sources(methods.get(name).file))))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    return {name: code(name) for name, _ in METHODS.values()}


def all_numbers() -> dict[str, Any]:
    found = {golden.name: numbers(golden) for golden in GOLDEN}
    return {**found, **{f"profile {each.name}": settings_of(each) for each in APPLIED}}


COMMON = ("seeds", "torch")  # alike in all cells of a setting, and written once


def read() -> dict[str, Any]:
    """The file, with what cells have in common put in each of them."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    common = content.pop("settings")
    for name, found in content["cells"].items():
        found.update(common.get(name.rpartition(", ")[2], {}))
    return content


def write() -> str | None:
    """Write the file; what keeps it from being written: numbers that moved without a raise of NUMERICS."""
    cells_now, code = all_numbers(), plugin_code()
    if FILE.exists():
        before = read()
        wrong = verdict(before, cells_now, grid.NUMERICS, code)
        if wrong and RAISE in wrong and before["versions"] == versions():
            return wrong
    common = {each.setting: {key: cells_now[each.name][key] for key in COMMON} for each in GOLDEN}
    for each in GOLDEN:
        for key in COMMON:
            assert cells_now[each.name].pop(key) == common[each.setting][key], each.name
    head = {"numerics": grid.NUMERICS, "versions": versions(), "code": code, "settings": common}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    rows = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in cells_now.items()]
    text = ",\n".join([*lines, '"cells": {\n' + ",\n".join(rows) + "\n}"])
    FILE.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    return None


# What moved

RAISE = f"raise {grid.__name__}.NUMERICS"


def verdict(before: dict[str, Any], now: dict[str, Any], numerics: int, code: dict[str, str]) -> str | None:
    """What is wrong with a file of numbers and what to do; None: nothing. The libraries must be those of the file.

    Args:
        before: the file. now: cells' numbers. numerics and code: `NUMERICS` and `plugin_code` now.
    """
    if numerics != before["numerics"]:
        return f"The file is of NUMERICS {before['numerics']}, the code is of {numerics}: run `{COMMAND}`."
    lines, new, of_bench = [], [], False
    for name, found in now.items():
        if name not in before["cells"]:
            new.append(name)
        elif differences := moved(before["cells"][name], found):
            more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
            lines.append(f"  {name}: {'; '.join(differences[:3])}{more}")
            method = METHODS[name.partition(" on ")[0]][0] if " on " in name else None
            of_bench |= before["code"].get(method) == code.get(method)
    if lines:
        # A change of a method's own files has given its cells another id already.
        todo = f"{RAISE} and" if of_bench else "the ids of these cells changed with the methods' files:"
        return "\n".join([f"Numbers moved: {todo} run `{COMMAND}`.", *lines])
    return f"Not on file: {', '.join(new)}. Run `{COMMAND}`." if new else None


def moved(before: Any, now: Any, where: str = "") -> list[str]:
    """What differs between two of `numbers`, one line each."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = dict.fromkeys([*before, *now])
        return [line for name in names for line in moved(before.get(name), now.get(name), f"{where} {name}".strip())]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return [line for at, (one, other) in pairs for line in moved(one, other, f"{where}[{at}]")]
    if isinstance(before, float) and isinstance(now, float):
        same = math.isclose(before, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    else:
        same = before == now
    return [] if same else [f"{where}: {before} on file, {now} now"]
