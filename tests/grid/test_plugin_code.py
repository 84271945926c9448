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
    plugin_code.meaning.cache_clear()
    plugin_code._imported.cache_clear()


PLUGIN = '''"""A method."""
from __future__ import annotations

import math as numbers
from typing import TYPE_CHECKING

import _rates
from bench.modeling import backbone

if TYPE_CHECKING:
    from torch import nn

LIMIT = 3

class Plugin:
    """It has a rate."""
    summary = "a method"
    rate: float = 1e-3

    def apply(self, model: nn.Module, scale: int = 1) -> nn.Module:
        """Apply it."""
        from bench.seeds import derive
        total: float = 0.0
        for name, part in backbone(model).named_parameters():
            total += part.numel() * numbers.sqrt(LIMIT)
        try:
            sizes = [len(name) for name in sorted(model)]
        except TypeError as error:
            raise ValueError(f"no names: {error}")
        def longer(other):
            nonlocal total
            total += other
            return lambda size=total: size + derive(LIMIT)
        return longer(total)(scale) * _rates.FACTOR * max(sizes, key=lambda size: -size) * self.rate
'''


def version(folder: Path, plugin: str = PLUGIN, **helpers: str) -> str:
    forget()
    for name, text in {"plugin": plugin, "_rates": "FACTOR = 2\n", "_other": "FACTOR = 5\n", **helpers}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return code_version([folder / "plugin.py"])


def changed(*changes: tuple[str, str]) -> str:
    """The plugin with these changes, each of which changes something."""
    text = PLUGIN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    "changes",
    [
        [('"""A method."""', '"""Another text,\nof two lines."""\n\n# and a comment')],
        [('"""It has a rate."""', "")],
        [('        """Apply it."""\n', "        # it is applied\n\n")],
        [("1e-3", "0.001")],
        [("1e-3", "  (1e-3)")],
        [('a method"', 'how it is put for people"')],
        [("from bench.modeling import", "from bench.train.model import")],
        [("from bench.seeds import", "from bench.grid.seeds import")],
        [("import math as numbers", "import other.math as numbers")],
        [("    from torch import nn\n", "    from torch import nn\n    from bench.task import Task\n")],
        [("from __future__ import annotations\n", "from __future__ import annotations\nimport os\n")],
        [("model: nn.Module", "model"), (" -> nn.Module", " -> object")],
        [("total: float", "total")],
        [("total", "sum_of_all")],
        [("error", "fault")],
        [("name, part", "key, part"), ("sizes", "lengths")],
        [("[len(name) for name in", "[len(each) for each in")],
    ],
)
def test_where_code_lies_how_it_is_explained_and_what_it_calls_a_local_variable_do_not_count(
    changes: list[tuple[str, str]], tmp_path: Path
) -> None:
    assert version(tmp_path, changed(*changes)) == version(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1e-3", "2e-3"),
        ("scale: int = 1", "scale: int = 2"),
        ("scale", "factor"),  # by which callers may pass it
        ("part.numel", "part.dim"),
        ("numel() *", "numel() +"),
        ("sqrt(LIMIT)", "sqrt(scale)"),
        ("sqrt(LIMIT)", "sqrt(total)"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("(scale) *", "(total) *"),
        ("backbone(model)", "backbone(part)"),
        ("backbone", "whole"),
        ("math as", "cmath as"),
        ("size=total", "size=scale"),
        ("nonlocal total\n", "total = 0\n"),
        ("total += part", "total -= part"),
        ("len(name)", "len(model)"),
        ("sorted(model)", "sorted(name)"),
        ("TypeError", "KeyError"),
        ("rate: float", "rate: int"),  # pydantic reads it
        ("def apply", "def apply_it"),
        ("Plugin", "P"),
    ],
)
def test_code_counts(old: str, new: str, tmp_path: Path) -> None:
    assert version(tmp_path, changed((old, new))) != version(tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # A local variable, and a global one of the same name.
        ("def f():\n    a = 1\n    return a", "def f():\n    b = 1\n    return a"),
        ("def f():\n    a = 1\n    return g(a, b)", "def f():\n    b = 1\n    return g(a, b)"),
        ("def f():\n    global a\n    a = 1", "def f():\n    a = 1"),
        ("def f():\n    global a\n    a = 1", "def f():\n    global b\n    b = 1"),
        # Two of them, the one or the other.
        ("def f():\n    a = b = 1\n    b = 2\n    return a", "def f():\n    a = b = 1\n    b = 2\n    return b"),
        # One around and one within.
        (
            "def f():\n    a = 1\n    def g():\n        b = 2\n        return a\n    return g",
            "def f():\n    a = 1\n    def g():\n        b = 2\n        return b\n    return g",
        ),
        (
            "def f():\n    a = 1\n    def g():\n        nonlocal a\n        a = 2\n    g()\n    return a",
            "def f():\n    a = 1\n    def g():\n        a = 2\n    g()\n    return a",
        ),
        # What a comprehension goes through is worked out outside it.
        ("def f():\n    x = y\n    return [x for x in x]", "def f():\n    z = y\n    return [x for x in x]"),
        ("def f(x):\n    return [x for x in x]", "def f(x):\n    return [x for y in x]"),
        ("def f(x):\n    return lambda x=x: x", "def f(x):\n    return lambda y=x: x"),
        # A variable of an inner scope, and a global one of the same name outside it.
        ("def f():\n    [x for x in y]\n    return x", "def f():\n    [z for z in y]\n    return z"),
        ("def f():\n    return [(lambda x: x)(1) for x in y]", "def f():\n    return [(lambda x: z)(1) for z in y]"),
        (
            "def f():\n    def g():\n        a = 1\n        return a\n    return a",
            "def f():\n    def g():\n        b = 1\n        return b\n    return b",
        ),
        ("def f():\n    import a\n    a = a.b", "def f():\n    import c\n    c = c.b"),
        # Names that others see: of attributes, functions, imports.
        ("def f():\n    class A:\n        a = 1\n    return A", "def f():\n    class A:\n        b = 1\n    return A"),
        ("def f():\n    from m import a\n    return a", "def f():\n    from m import b\n    return b"),
        ("a = 1", "b = 1"),
        ("match x:\n    case [a, *b]: pass", "match x:\n    case [a, *c]: pass"),
    ],
)
def test_names_that_mean_something_count(one: str, other: str, tmp_path: Path) -> None:
    assert version(tmp_path, one) != version(tmp_path, other)


def test_annotations_that_a_decorator_may_read_count(tmp_path: Path) -> None:
    one = "@register\ndef f(a: int) -> int: ..."
    assert version(tmp_path, one) != version(tmp_path, one.replace("a: int", "a: str"))


def test_a_text_that_is_not_for_people_counts(tmp_path: Path) -> None:
    with_text = changed(('    summary = "a method"\n', '    summary = "a method"\n    unit = "seconds"\n'))
    assert version(tmp_path, with_text) != version(tmp_path)
    assert version(tmp_path, with_text.replace("seconds", "hours")) != version(tmp_path, with_text)


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


def test_a_helper_that_is_only_named_does_not_count(tmp_path: Path) -> None:
    text = f"{PLUGIN}\nX = '_other'  # unlike _other\n"
    assert version(tmp_path, text, _other="FACTOR = 6\n") == version(tmp_path, text)


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


def test_the_version_does_not_depend_on_where_the_code_lies(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert version(tmp_path / "a") == version(tmp_path / "b")
