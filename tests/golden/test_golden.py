"""No number of a cell moves unless NUMERICS is raised; see `golden.py` for the cells.

Other versions of torch and the like give other numbers and other cells, so without the versions of constraints.txt this
skips. CI installs them.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden
import pytest
import torch
from golden import COMMAND, GOLDEN, METHODS, RAISE, Golden

from bench import profiles
from bench.grid import cell as grid
from bench.grid import recipes
from bench.plugins import registry
from bench.plugins.specs import parse
from bench.train import batches, loop
from bench.train import cell as cells
from methods.pasta.vectors import SpecialTokenVectors

ROOT = Path(__file__).parents[2]
PASTA = Golden("pasta", "classification", "last")
HEAD = Golden("head", "classification", "last")
BITFIT = Golden("bitfit", "pair", "best")
LARGE_BATCHES = Golden("lora", "classification", "on-validation")


@pytest.fixture(scope="module")
def on_file() -> dict[str, Any]:
    content = golden.read()
    if golden.versions() != content["versions"]:
        pytest.skip(f"numbers.json is of {content['versions']}, and installed are {golden.versions()}")
    return content


def problem(on_file: dict[str, Any], *cells: Golden) -> str | None:
    now = {each.name: golden.numbers(each) for each in cells}
    return golden.problem(on_file, now, grid.NUMERICS, golden.method_code())


def test_no_number_moved(on_file: dict[str, Any]) -> None:
    wrong = problem(on_file, *GOLDEN)
    assert wrong is None, wrong
    assert on_file["cells"].keys() == {each.name for each in GOLDEN}


def test_every_method_is_on_file_on_every_kind_of_task() -> None:
    shipped = {name for name, found in registry.methods().found.items() if found.file.is_relative_to(ROOT / "methods")}
    assert shipped < {parse(each).name for each in METHODS}  # and one of the family `peft:`
    assert {(each.method, each.kind) for each in GOLDEN} == {(name, kind) for name in METHODS for kind in golden.KINDS}


def test_the_file_is_of_the_versions_that_ci_installs() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert golden.read()["versions"] == {name: pinned[name] for name in grid.NUMERIC_LIBRARIES}, f"run `{COMMAND}`"


def test_the_file_is_of_the_methods_files(on_file: dict[str, Any]) -> None:
    """Otherwise numbers that move with the harness would pass for a method's own change."""
    assert on_file["code"] == golden.method_code() or on_file["python"] != golden.PYTHON, f"run `{COMMAND}`"


def test_the_numbers_of_the_cells_differ(on_file: dict[str, Any]) -> None:
    """A file of constants would hide what moves."""
    cells = on_file["cells"].values()
    assert len({tuple(found["losses"]) for found in cells}) == len(cells)
    assert {found.get("chosen_step") for found in cells} == {None, 3, 6, 8, 12}
    assert {len(found["losses"]) for found in cells} == {3, 6, 8, 60, 77}  # 60 and 77: the head's own


# What it must notice


def _scale_vectors(patch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = SpecialTokenVectors.at

    def at(*args: Any) -> Any:
        found = real(*args)
        return None if found is None else found * 1.001

    patch.setattr(SpecialTokenVectors, "at", at)


def _after_apply(change: Callable[[], None]) -> Callable[[pytest.MonkeyPatch], None]:
    real = profiles.apply
    return lambda patch: patch.setattr(profiles, "apply", lambda profile: (real(profile), change()))


MUTATIONS: dict[str, tuple[Golden, Callable[[pytest.MonkeyPatch], None]]] = {
    "vectors": (PASTA, _scale_vectors),
    "least steps rounded down": (BITFIT, lambda patch: patch.setattr(recipes, "round", math.floor, raising=False)),
    "epochs not rounded": (HEAD, lambda patch: patch.setattr(loop, "round", lambda x, _=0: x, raising=False)),
    "other parts": (LARGE_BATCHES, lambda patch: patch.setitem(batches.PART_TOKENS, "cpu", 0)),
    "threads": (HEAD, _after_apply(lambda: torch.set_num_threads(2))),
    "determinism": (HEAD, _after_apply(lambda: torch.use_deterministic_algorithms(False))),
    "precision": (HEAD, _after_apply(lambda: torch.set_float32_matmul_precision("medium"))),
    "profile not applied": (HEAD, lambda patch: patch.setattr(profiles, "apply", lambda profile: None)),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_changed_number_or_setting_is_noticed(
    mutation: str, on_file: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, mutate = MUTATIONS[mutation]
    threads = [1]  # not torch's own: two threads that wait for each other on a busy machine take seconds
    monkeypatch.setattr(torch, "set_num_threads", lambda count: threads.append(count))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    mutate(monkeypatch)
    wrong = problem(on_file, cell)
    assert wrong is not None
    assert wrong.startswith(f"Numbers moved: {RAISE} and run `{COMMAND}`.\n  {cell.name}: ")


# What it must not notice


def renamed(folder: Path, file: Path, *changes: tuple[str, str]) -> Path:
    """A module's text under another name and with changes."""
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    made = folder / f"renamed_{file.name}"
    made.write_text(text, encoding="utf-8")
    return made


def test_a_renamed_plugin_with_another_docstring_passes(on_file: dict[str, Any], tmp_path: Path) -> None:
    file = registry.methods().get("bitfit").file
    docstring = file.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
    same = renamed(tmp_path, file, (docstring, "Other words."))
    assert grid.code_version([same]) == grid.code_version([file])
    copy = renamed(tmp_path, same, ('name = "bitfit"', 'name = "copied"'))  # two of one name would be refused
    assert golden.moved(on_file["cells"][BITFIT.name], golden.numbers(BITFIT, (*golden.PLUGINS, copy), "copied")) == []


def test_a_renamed_module_of_the_harness_with_a_renamed_variable_passes(
    on_file: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = renamed(tmp_path, Path(str(loop.__file__)), ('"""The training loop', '"""The loop'), ("clock", "watch"))
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(file.stem)
    monkeypatch.setattr(cells, "train", module.train)
    assert problem(on_file, HEAD) is None
    monkeypatch.setattr(module, "training_batches", lambda *args: list(batches.training_batches(*args))[::-1])
    assert problem(on_file, HEAD) is not None  # the renamed one was used


def test_the_script_writes_no_moved_number_without_a_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [0.5]
    monkeypatch.setattr(golden, "FILE", tmp_path / "numbers.json")
    monkeypatch.setattr(golden, "GOLDEN", [PASTA])
    monkeypatch.setattr(golden, "numbers", lambda cell: {"losses": list(losses)})
    assert golden.write() is None
    before = golden.FILE.read_bytes()
    losses[0] = 1.0
    assert RAISE in str(golden.write())
    assert golden.FILE.read_bytes() == before
    monkeypatch.setattr(grid, "NUMERICS", grid.NUMERICS + 1)
    assert golden.write() is None
    assert golden.read()["cells"] == {PASTA.name: {"losses": [1.0]}}


def test_what_is_no_moved_number() -> None:
    """The last bits; cells whose method's own files changed with them; cells that are not on file."""
    name = "lora on pair, best"
    before = {"numerics": 3, "code": {"lora": "aa"}, "cells": {name: {"losses": [0.5, 0.25]}}}

    def found(losses: list[float], code: str = "aa", name: str = name) -> str | None:
        return golden.problem(before, {name: {"losses": losses}}, 3, {"lora": code})

    assert found([0.5, 0.25 * (1 + 1e-6)]) is None
    assert RAISE in str(found([0.5, 0.251]))
    assert "the ids of these cells changed with the methods' files" in str(found([0.5, 0.251], "changed"))
    assert str(found([0.5], name="ia3 on pair, best")).startswith("Not on file: ia3 on pair, best.")
