"""What a cell's identity depends on, and what it does not."""

from __future__ import annotations

import ast
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

from bench.grid.cell import NUMERIC_LIBRARIES, NUMERIC_MODULES, Cell, _meaning, _shared_version, code_version
from bench.grid.suites import Budget
from bench.profiles import Profile

ROOT = Path(__file__).parents[1]
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
    "processes": 2,
    "micro_batch_size": 16,
    "eval_batch_size": 64,
    "matmul_precision": "high",
    "deterministic": False,
    "exclusive": False,
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
    _meaning.cache_clear()
    _shared_version.cache_clear()


PLUGIN = '''"""A method."""
import _rates

class Plugin:
    """It has a rate."""
    rate = 1e-3

    def apply(self):
        """Apply it."""
        return self.rate * _rates.FACTOR
'''


def version(folder: Path, plugin: str = PLUGIN, **helpers: str) -> str:
    _meaning.cache_clear()
    for name, text in {"plugin": plugin, "_rates": "FACTOR = 2\n", "_other": "FACTOR = 5\n", **helpers}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return code_version([folder / "plugin.py"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A method."""', '"""Another text,\nof two lines."""\n\n# and a comment'),
        ('"""It has a rate."""', ""),
        ('        """Apply it."""\n', "        # it is applied\n\n"),
        ("rate = 1e-3", "rate = 0.001"),
        ("rate = 1e-3", "rate   =   (1e-3)"),
    ],
)
def test_text_for_people_and_layout_do_not_count(old: str, new: str, tmp_path: Path) -> None:
    assert PLUGIN.replace(old, new) != PLUGIN
    assert version(tmp_path, PLUGIN.replace(old, new)) == version(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"), [("1e-3", "2e-3"), ("self.rate *", "self.rate +"), ("def apply", "def apply_it"), ("Plugin", "P")]
)
def test_code_counts(old: str, new: str, tmp_path: Path) -> None:
    assert version(tmp_path, PLUGIN.replace(old, new)) != version(tmp_path)


def test_a_text_that_is_not_a_docstring_counts(tmp_path: Path) -> None:
    with_text = PLUGIN.replace("rate = 1e-3", 'rate = 1e-3\n    unit = "seconds"')
    assert version(tmp_path, with_text) != version(tmp_path)
    assert version(tmp_path, with_text.replace("seconds", "hours")) != version(tmp_path, with_text)


def test_a_helper_that_the_plugin_names_counts_and_another_does_not(tmp_path: Path) -> None:
    before = version(tmp_path)
    assert version(tmp_path, _rates="FACTOR = 3\n") != before
    assert version(tmp_path, _rates="FACTOR = 2  # as ever\n") == before
    assert version(tmp_path, _other="FACTOR = 6\n") == before


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
    _shared_version.cache_clear()
    assert version(tmp_path) != before


def test_the_version_does_not_depend_on_where_the_code_lies(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert version(tmp_path / "a") == version(tmp_path / "b")


@pytest.mark.parametrize("name", NUMERIC_MODULES)
def test_the_harness_own_modules_count(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = version(tmp_path)
    real = _meaning
    monkeypatch.setattr("bench.grid.cell._meaning", lambda file: real(file) + "#" * (file == ROOT / "bench" / name))
    _shared_version.cache_clear()
    assert code_version([tmp_path / "plugin.py"]) != before


def test_what_a_training_imports_is_among_the_modules_that_count() -> None:
    """Whatever `bench.train.cell` needs of this package changes numbers, or is on the list of what cannot."""
    harmless = {
        "__init__.py",
        "archives.py",  # what is fetched is held to its hash
        "errors.py",
        "executors/__init__.py",
        "grid.py",  # the identity itself
        "measure/__init__.py",
        "measure/environment.py",
        "names.py",
        "package_index.py",
        "pscp.py",  # of the leaderboard, declared in suites
        "profiles/__init__.py",  # a profile's settings are in the identity
        "profiles/probe.py",
        "record.py",
        *(f"registry/{name}.py" for name in ("__init__", "discovery", "faults", "params", "registered")),
        "sources.py",
        "space.py",  # what is tried of it is in the recipe
        "specs.py",
        "store.py",
        "suites.py",
    }
    seen, waiting = set(), ["cell.py"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in ast.walk(ast.parse((ROOT / "bench" / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bench":
                modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                for module in modules:
                    path = "/".join(str(module).split(".")[1:])
                    candidates = (f"{path}.py", f"{path}/__init__.py")
                    waiting += [each for each in candidates if path and (ROOT / "bench" / each).is_file()]
    assert {"training.py", "batching.py", "seeds.py"} <= seen
    assert seen <= {*NUMERIC_MODULES, *harmless}
