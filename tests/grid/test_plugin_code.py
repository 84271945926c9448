"""What of a plugin's code a cell's identity depends on, and what not."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.grid import cell as grid
from bench.grid import plugin_code
from bench.grid.cell import NUMERIC_LIBRARIES, code_version


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Files are read once in a process: here they change."""
    yield
    forget()
    grid._libraries.cache_clear()


def forget() -> None:
    plugin_code._meaning_of_code.cache_clear()
    plugin_code._imported.cache_clear()


PLUGIN = '''"""A method."""
import math as numbers

import _rates
from bench.modeling import backbone

LIMIT = 3

class Plugin:
    """It has a rate."""
    summary = "a method"
    unit = "seconds"

    def apply(self, model, scale: int = 1):
        """Apply it."""
        from bench.seeds import derive
        summary = "mean"
        total = sum(part.numel() * numbers.sqrt(LIMIT) for part in backbone(model).parameters())
        return derive(total, summary) * _rates.FACTOR * 1e-3
'''


def version(folder: Path, plugin: str = PLUGIN, **helpers: str) -> str:
    forget()
    for name, text in {"plugin": plugin, "_rates": "FACTOR = 2\n", "_other": "FACTOR = 5\n", **helpers}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return code_version([folder / "plugin.py"])


def changed(old: str, new: str) -> str:
    """The plugin with a change, which changes something."""
    assert old in PLUGIN
    return PLUGIN.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A method."""', '"""Another text,\nof two lines."""\n\n# and a comment'),
        ('"""It has a rate."""', ""),
        ('        """Apply it."""\n', "        # it is applied\n\n"),
        ("1e-3", "(0.001)"),
        ('"a method"', '"how it is put for people"'),
        ("from bench.modeling import", "import os\nfrom bench.train.model import"),
        ("from bench.seeds import", "from bench.grid.seeds import"),
        ("import math as numbers", "import other.math as numbers"),
    ],
)
def test_where_code_lies_and_how_it_is_explained_do_not_count(old: str, new: str, tmp_path: Path) -> None:
    assert version(tmp_path, changed(old, new)) == version(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1e-3", "2e-3"),
        ("scale: int = 1", "scale: int = 2"),
        ("part.numel", "part.dim"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("backbone", "whole"),
        ("math as", "cmath as"),
        ("def apply", "def apply_it"),
        ('"seconds"', '"hours"'),  # a text that is not for people
        ('"mean"', '"median"'),  # only a class has texts for people
    ],
)
def test_code_counts(old: str, new: str, tmp_path: Path) -> None:
    assert version(tmp_path, changed(old, new)) != version(tmp_path)


@pytest.mark.parametrize(
    "how",
    ["import _rates", "from _rates import FACTOR", "from . import _rates", "from ._rates import FACTOR",
     "from methods import _rates", "from methods._rates import FACTOR", "import methods._rates"],
)  # fmt: skip
def test_a_helper_that_the_plugin_imports_counts(how: str, tmp_path: Path) -> None:
    within = f"def f():\n    {how}\n"
    before = version(tmp_path, within)
    assert version(tmp_path, within, _rates="FACTOR = 3\n") != before
    assert version(tmp_path, within, _rates="FACTOR = 2  # as ever\n") == before


def test_what_a_helper_imports_counts_too(tmp_path: Path) -> None:
    before = version(tmp_path, _rates="from _other import FACTOR\n")
    assert version(tmp_path, _rates="from _other import FACTOR\n", _other="FACTOR = 6\n") != before


def test_a_packages_modules_count_where_they_are_imported(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    for name in ("a", "b"):
        (package / f"{name}.py").write_text(f"{name.upper()} = 1\n")

    def version_of(imported: str) -> str:
        (package / "__init__.py").write_text(f"from package.{imported} import A\n")
        forget()
        return code_version([package / "__init__.py"])

    before = version_of("a")
    (package / "a.py").rename(package / "c.py")
    assert version_of("c") == before
    (package / "b.py").write_text("B = 2\n")
    assert version_of("c") == before
    (package / "c.py").write_text("A = 2\n")
    assert version_of("c") != before


def test_every_plugin_of_a_cell_counts(tmp_path: Path) -> None:
    version(tmp_path)
    files = [tmp_path / "plugin.py", tmp_path / "_other.py"]
    assert code_version(files) != code_version(files[:1])
    assert code_version(files) != code_version(files[::-1])


@pytest.mark.parametrize("library", NUMERIC_LIBRARIES)
def test_a_librarys_version_counts(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = version(tmp_path)
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9" if name == library else real(name))
    grid._libraries.cache_clear()
    assert version(tmp_path) != before


def test_the_integer_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = version(tmp_path)
    monkeypatch.setattr(grid, "NUMERICS", grid.NUMERICS + 1)
    assert version(tmp_path) != before
