"""No number of a cell moves unless NUMERICS is raised; see `golden.py` for the cells.

Other versions of torch and its like give other numbers and other cells, so elsewhere than under constraints.txt this
skips. In CI, which installs these versions, it cannot.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import golden
import pytest
from golden import COMMAND, GOLDEN, METHODS, RAISE, Golden

from bench import profiles
from bench.grid import cell as grid
from bench.grid import recipes
from bench.plugins import registry
from bench.train import batches, loop

ROOT = Path(__file__).parents[2]
PASTA = Golden("pasta", "classification", "last")
BITFIT = Golden("bitfit", "pair", "best")


@pytest.fixture(scope="module")
def on_file() -> dict[str, Any]:
    content = golden.read()
    if golden.versions() != content["versions"]:
        assert golden.versions() != golden.pinned(), f"constraints.txt has changed: run `{COMMAND}`"
        pytest.skip(f"numbers.json is of {content['versions']}, and installed are {golden.versions()}")
    return content


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    with golden.torch_as_it_was():
        yield


def verdict(on_file: dict[str, Any], *cells: Golden) -> str | None:
    now = {each.name: golden.numbers(each) for each in cells}
    return golden.verdict(on_file, now, grid.NUMERICS, golden.plugin_code())


# The numbers


def test_no_number_moved(on_file: dict[str, Any]) -> None:
    now = golden.all_numbers()
    wrong = golden.verdict(on_file, now, grid.NUMERICS, golden.plugin_code())
    assert wrong is None, wrong
    assert now.keys() == on_file["cells"].keys()


def test_every_method_is_among_them_on_every_kind_of_task() -> None:
    shipped = {name for name, found in registry.methods().found.items() if found.file.is_relative_to(ROOT / "methods")}
    assert shipped <= {name for name, _ in METHODS.values()}
    assert any(name.startswith("peft:") for name, _ in METHODS.values())
    assert {(each.method, each.kind) for each in GOLDEN} == {(name, kind) for name in METHODS for kind in golden.KINDS}


def test_the_file_is_of_the_versions_that_ci_installs() -> None:
    assert golden.read()["versions"] == golden.pinned(), f"run `{COMMAND}`"


def test_the_cells_answers_differ(on_file: dict[str, Any]) -> None:
    """A file of constants would hide what moves."""
    cells = [found for name, found in on_file["cells"].items() if " on " in name]
    assert len({tuple(found["losses"]) for found in cells}) == len(cells)
    assert {found["chosen_epoch"] for found in cells} == {None, 1, 2, 3}
    assert {len(found["losses"]) for found in cells} == {6, 8}


# What it must notice


def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    from methods.pasta.vectors import SpecialTokenVectors

    real = SpecialTokenVectors.at

    def at(self: SpecialTokenVectors, *args: Any) -> Any:
        found = real(self, *args)
        return None if found is None else found * 1.001

    monkeypatch.setattr(SpecialTokenVectors, "at", at)


def applied_and(monkeypatch: pytest.MonkeyPatch, more: Callable[[Any], None]) -> None:
    import torch

    real = profiles.apply
    monkeypatch.setattr(profiles, "apply", lambda profile: (real(profile), more(torch)))


MUTATIONS: dict[str, tuple[Golden, Callable[[pytest.MonkeyPatch], None]]] = {
    "vectors": (PASTA, scaled),
    "least steps rounded down": (BITFIT, lambda patch: patch.setattr(recipes, "round", math.floor, raising=False)),
    "epochs not rounded": (PASTA, lambda patch: patch.setattr(loop, "round", lambda x, _=0: x, raising=False)),
    "threads": (BITFIT, lambda patch: applied_and(patch, lambda torch: torch.set_num_threads(2))),
    "determinism": (
        BITFIT,
        lambda patch: applied_and(patch, lambda torch: torch.use_deterministic_algorithms(True)),
    ),
    "no determinism": (
        PASTA,
        lambda patch: applied_and(patch, lambda torch: torch.use_deterministic_algorithms(False)),
    ),
    "precision": (
        PASTA,
        lambda patch: applied_and(patch, lambda torch: torch.set_float32_matmul_precision("medium")),
    ),
    "no profile": (BITFIT, lambda patch: patch.setattr(profiles, "apply", lambda profile: None)),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_changed_number_or_setting_is_noticed(
    mutation: str, on_file: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, mutate = MUTATIONS[mutation]
    assert verdict(on_file, cell) is None
    mutate(monkeypatch)
    wrong = verdict(on_file, cell)
    assert wrong is not None
    assert wrong.startswith(f"Numbers moved: {RAISE} and run `{COMMAND}`.\n  {cell.name}: ")


@pytest.mark.parametrize("profile", golden.APPLIED, ids=lambda profile: profile.name)
def test_what_a_profile_that_no_cell_runs_on_sets_is_noticed(
    profile: Any, on_file: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = on_file["cells"][f"profile {profile.name}"]
    assert golden.moved(before, golden.settings_of(profile)) == []
    monkeypatch.setattr(type(profile), "thread_count", lambda self, cores: cores - 1)
    assert golden.moved(before, golden.settings_of(profile)) == [f"threads: {before['threads']} on file, 5 now"]


# What it must not notice


def variant(folder: Path, file: Path, *changes: tuple[str, str]) -> Path:
    """A module's text under another name and with changes."""
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    made = folder / f"renamed_{file.name}"
    made.write_text(text, encoding="utf-8")
    return made


def imported(file: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    return module


def test_a_renamed_plugin_with_a_renamed_variable_and_another_docstring_passes(
    on_file: dict[str, Any], tmp_path: Path
) -> None:
    file = registry.methods().get("bitfit").file
    changes = [
        ('"""BitFit: the bias terms train', '"""The bias terms train'),
        ("biases", "chosen"),
        ("bias in", "each in"),
        ("bias.requires", "each.requires"),
    ]
    same = variant(tmp_path, file, *changes)
    assert grid.code_version([same]) == grid.code_version([file])
    copy = variant(tmp_path, same, ('name = "bitfit"', 'name = "copied"'))  # two of one name would be refused
    now = golden.numbers(BITFIT, (*golden.PLUGINS, copy), method="copied")
    assert golden.moved(on_file["cells"][BITFIT.name], now) == []


def test_a_renamed_module_of_the_harness_with_a_renamed_variable_passes(
    on_file: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [('"""The training loop', '"""The loop'), ("clock", "watch")]
    renamed = imported(variant(tmp_path, Path(str(loop.__file__)), *changes), monkeypatch)
    monkeypatch.setitem(sys.modules, loop.__name__, renamed)
    assert verdict(on_file, BITFIT) is None
    monkeypatch.setattr(renamed, "epoch_batches", lambda *args: batches.epoch_batches(*args)[::-1])
    assert verdict(on_file, BITFIT) is not None  # the renamed one was used


# What it says


def made(**changes: Any) -> dict[str, Any]:
    code = {"lora": "aa", "pasta": "bb"}
    cells = {"lora on pair, best": {"losses": [0.5, 0.25]}, "pasta on pair, best": {"losses": [0.5, 0.125]}}
    return {"numerics": 3, "code": code, "cells": cells, **changes}


def test_what_is_as_on_file_is_fine_and_so_is_another_last_bit() -> None:
    cells = {"lora on pair, best": {"losses": [0.5, 0.25 * (1 + 1e-6)]}}
    assert golden.verdict(made(), cells, 3, made()["code"]) is None


def test_numbers_that_moved_are_named_with_what_to_do() -> None:
    cells = {**made()["cells"], "lora on pair, best": {"losses": [0.5, 0.251]}}
    assert golden.verdict(made(), cells, 3, made()["code"]) == (
        f"Numbers moved: raise bench.grid.cell.NUMERICS and run `{COMMAND}`.\n"
        "  lora on pair, best: losses[1]: 0.25 on file, 0.251 now"
    )


def test_a_change_of_a_methods_own_file_needs_no_raise_and_is_to_be_written() -> None:
    cells = {**made()["cells"], "lora on pair, best": {"losses": [0.5, 0.251]}}
    wrong = golden.verdict(made(), cells, 3, {"lora": "a method of another hash", "pasta": "bb"})
    assert wrong is not None
    assert RAISE not in wrong
    assert COMMAND in wrong
    both = {**cells, "pasta on pair, best": {"losses": [0.5]}}
    assert RAISE in str(golden.verdict(made(), both, 3, {"lora": "a method of another hash", "pasta": "bb"}))


def test_a_raised_integer_asks_for_the_file_to_be_written() -> None:
    assert golden.verdict(made(), made()["cells"], 4, made()["code"]) == (
        f"The file is of NUMERICS 3, the code is of 4: run `{COMMAND}`."
    )


def test_a_cell_that_is_not_on_file_is_to_be_written() -> None:
    cells = {**made()["cells"], "ia3 on pair, best": {}}
    assert golden.verdict(made(), cells, 3, made()["code"]) == f"Not on file: ia3 on pair, best. Run `{COMMAND}`."


def test_the_script_writes_no_moved_number_under_the_old_integer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "FILE", tmp_path / "numbers.json")
    monkeypatch.setattr(golden, "GOLDEN", [PASTA])
    found = golden.all_numbers()
    monkeypatch.setattr(golden, "all_numbers", lambda: {**found, PASTA.name: dict(found[PASTA.name])})
    assert golden.write() is None
    assert golden.read()["cells"] == found
    before = golden.FILE.read_bytes()
    found[PASTA.name]["losses"] = [1.0]
    assert RAISE in str(golden.write())
    assert golden.FILE.read_bytes() == before
    monkeypatch.setattr(grid, "NUMERICS", grid.NUMERICS + 1)
    assert golden.write() is None
    assert golden.read()["cells"] == found
