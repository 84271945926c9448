"""What a cell's identity depends on, and what it does not."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import PROFILE, cell
from pydantic import ValidationError

from bench.grid import cell as grid
from bench.grid import plugin_code
from bench.grid.cell import NUMERIC_LIBRARIES, Cell, code_version
from bench.grid.suites import Budget
from bench.profiles import Profile

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner))


# Identity

OTHER: dict[str, Any] = {
    "method": "pasta",
    "params": {"r": 8},
    "variant": "r=8",
    "task": "trec",
    "task_source": "./other.csv",
    "task_revision": "tree-sha256:ab",
    "model": "other",
    "model_source": "./other",
    "model_revision": "tree-sha256:ba",
    "preset": "full",
    "budget": Budget(train_examples=101),
    "recipe": {"epochs": 3},
    "seed": 1,
    "code": "0123456789abcdee",
}
OTHER_PROFILE: dict[str, Any] = {
    "name": "other",
    "device": "cuda",
    "dtype": "bfloat16",
    "threads": 1,
    "workers": 2,
    "micro_batch_size": 16,
    "eval_batch_size": 64,
    "matmul_precision": "high",
    "deterministic": False,
    "min_cores": 2,
    "min_memory_mib": 2001,
    "min_gpu_memory_mib": 1,
}
FOR_PLANNING = {"memory_mib": 1000, "gflops": 5.0}  # declared for `plan`: no number of a cell depends on them
OTHER_BUDGET: dict[str, Any] = {
    "train_examples": None,
    "validation_examples": 0,
    "test_examples": 5,
    "epochs_scale": 2.0,
    "choose": "best",
    "score_on": "validation",
}


def test_every_field_is_tested_here() -> None:
    assert {*OTHER, "profile"} == set(Cell.model_fields)
    assert {*OTHER_PROFILE, *FOR_PLANNING, "summary"} == set(Profile.model_fields)
    assert set(OTHER_BUDGET) == set(Budget.model_fields)


@pytest.mark.parametrize("field", FOR_PLANNING)
def test_what_a_profile_declares_for_planning_is_no_part_of_it_nor_of_a_record(field: str) -> None:
    other = PROFILE.model_copy(update={field: FOR_PLANNING[field]})
    assert cell(profile=other).id == cell().id
    assert cell(profile=other).model_dump_json() == cell().model_dump_json()


@pytest.mark.parametrize("field", OTHER)
def test_every_field_is_part_of_the_identity(field: str) -> None:
    assert cell().model_copy(update={field: OTHER[field]}).id != cell().id


@pytest.mark.parametrize("field", OTHER_PROFILE)
def test_every_setting_of_the_profile_is(field: str) -> None:
    changed = PROFILE.model_copy(update={field: OTHER_PROFILE[field]})  # not validated: one setting at a time
    assert cell().model_copy(update={"profile": changed}).id != cell().id


@pytest.mark.parametrize("field", OTHER_BUDGET)
def test_every_part_of_the_budget_is(field: str) -> None:
    assert cell(budget=Budget(train_examples=100).model_copy(update={field: OTHER_BUDGET[field]})).id != cell().id


def test_a_cell_that_could_be_before_there_was_a_choice_is_the_cell_it_was() -> None:
    """Worked out by the commit before something else than test could be scored."""
    assert cell().id == "510f1877c053d788"


def test_the_profiles_text_for_people_is_not() -> None:
    assert cell(profile=PROFILE.model_copy(update={"summary": "another text"})).id == cell().id


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5), st.randoms())
def test_the_order_of_parameters_does_not_matter(params: dict[str, Any], random: Any) -> None:
    items = list(params.items())
    random.shuffle(items)
    assert cell(params=dict(items), recipe=dict(items)).id == cell(params=params, recipe=params).id


@pytest.mark.parametrize(
    ("one", "other"),
    [({}, {"a": None}), ({"a": 1}, {"a": "1"}), ({"a": 1}, {"a": True}), ({"a": 0.1}, {"a": 0.1 + 2**-55}),
     ({"a": ["b", "c"]}, {"a": ["b,c"]}), ({"a": 1}, {"b": 1}), ({"a": "é"}, {"a": "e"})],
)  # fmt: skip
def test_different_parameters_are_different_cells(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert cell(params=one).id != cell(params=other).id


# What a typed parameter or a suite's setting may be.
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
)
# Values that Python takes for equal, or that look alike, come up often enough to be told apart.
ALIKE = st.sampled_from([0, 0.0, -0.0, False, None, "", "0", [], "null", 1, 1.0, True, "1", [1], ["1"], "True", 1e300])
PARAMS = st.dictionaries(st.sampled_from("abc"), ALIKE | SCALARS | st.lists(SCALARS, max_size=3), max_size=3)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one: of one type, and -0.0 is 0.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@settings(max_examples=300)
@given(PARAMS, PARAMS, st.sampled_from(["params", "recipe"]))
def test_no_two_cells_share_an_id_and_no_cell_has_two(one: dict[str, Any], other: dict[str, Any], field: str) -> None:
    """1, 1.0 and True are three cells: run more often than need be, but never taken for each other."""
    assert (cell(**{field: one}).id == cell(**{field: other}).id) == same(one, other)


@settings(max_examples=100)
@given(PARAMS, PARAMS)
def test_a_parameter_is_no_setting_of_the_recipe(one: dict[str, Any], other: dict[str, Any]) -> None:
    swapped = cell(params=other, recipe=one).id
    assert (cell(params=one, recipe=other).id == swapped) == same(one, other)


@settings(max_examples=100)
@given(PARAMS, st.integers(0, 2**70), st.text(max_size=5), st.randoms())
def test_neither_the_order_of_fields_nor_the_way_through_json_changes_an_id(
    params: dict[str, Any], seed: int, name: str, random: Any
) -> None:
    made = cell(name, seed, params=params, recipe=params)
    fields = list(made.model_dump(mode="json").items())
    random.shuffle(fields)
    assert Cell(**dict(fields)).id == made.id
    assert Cell(**json.loads(json.dumps(dict(fields)))).id == made.id


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["params", "recipe"])
def test_what_is_no_number_has_no_identity(number: float, field: str) -> None:
    """JSON would have none of them, or null for all of them: one id for three cells."""
    for value in (number, [1.0, number]):
        with pytest.raises(ValidationError, match="no number"):
            cell(**{field: {"a": value}})


def test_the_id_survives_being_written_and_read() -> None:
    made = cell(params={"b": 0.1, "a": [1, "é"]}, recipe={"learning_rate": 3e-4})
    again = Cell(**json.loads(json.dumps(made.model_dump(mode="json"))))
    assert again.id == made.id
    assert len(made.id) == 16
    assert int(made.id, 16) >= 0


def test_cells_refuse_fields_that_they_do_not_know() -> None:
    with pytest.raises(ValidationError, match="colour"):
        cell(colour="red")


def test_labels_are_what_the_command_line_takes() -> None:
    assert cell("lora", variant="r=4").label == "lora[r=4] on sms-spam"
    assert cell("lora").label == "lora on sms-spam"


# The code version


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
