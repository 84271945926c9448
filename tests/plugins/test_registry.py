"""How methods and tasks are found, and what becomes of those that cannot be used."""

from __future__ import annotations

import importlib
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.errors import PluginError, UsageError
from bench.plugins import registry
from bench.plugins.registry import Broken
from bench.plugins.specs import build_method, parse

ROOT = Path(__file__).parents[2]
IMPORTS = "from bench.plugins import Example, Method, MethodFamily, Metric, Params, Recipe, Task\n"

METHOD = """
class Good(Method):
    name = "good"
    summary = "does nothing"
    def recipe(self, task, config): return Recipe(learning_rate=1, epochs=1, chosen_by="nobody")
    def apply(self, model, task): return model
"""
TASK = """
class GoodTask(Task):
    name = "good-task"
    summary = "is nothing"
    kind = "classification"
    source = "./nowhere"
    labels = ("a", "b")
    metric = "accuracy"
    def read(self, path): return {}
"""
METRIC = """
class Luck(Metric):
    name = "luck"
    kinds = ("regression",)
    companions = ("spearman", "accuracy")
    def compute(self, predictions, references, labels): return 1.0
"""
FAMILY = '''
class Zoo(MethodFamily):
    """animals"""
    name = "zoo"
    def members(self): return ["ape", "bear"]
    def refused(self): return {"cat": "it is a pet"}
    def method(self, member): return {"ape": Good, "bear": object}[member]
'''

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """write(text): a plugin file, imported anew."""
    before = set(sys.modules)

    def make(text: str, name: str = "plugin") -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(IMPORTS + textwrap.dedent(text), encoding="utf-8")
        return path

    yield make
    for name in set(sys.modules) - before:
        if name.startswith(("bench_plugin_", "third_party")):
            del sys.modules[name]


# The folders


def test_every_file_of_the_folders_is_found() -> None:
    kinds = (registry.methods(), "methods"), (registry.tasks(), "tasks"), (registry.metrics(), "bench/metrics")
    for found, folder in kinds:
        assert found.broken == {}
        # A plugin is a file, or a package of several; a task may be TOML.
        patterns = ("[!_]*.py", "*/__init__.py", "*.toml")
        files = {file for pattern in patterns for file in (ROOT / folder).glob(pattern)}
        entries = [*found.found.values(), *found.families.values()]
        assert {entry.file for entry in entries} == files
        assert found.names() == sorted(found.found)
        assert all(entry.plugin.name == name for name, entry in found.found.items())
        origins = {str(file.relative_to(ROOT)).removesuffix("/__init__.py") for file in files}
        assert {entry.origin for entry in entries} == origins
    assert {"pasta", "lora", "bitfit", "full", "head"} <= set(registry.methods().found)


# Files


def test_a_file_may_hold_methods_tasks_and_helpers(write: Write) -> None:
    path = write(METHOD + TASK + "class _Base(Method):\n    pass\n")
    assert registry.methods([path]).get("good").origin == str(path)
    assert registry.tasks([path]).get("good-task").file == path
    assert registry.methods([path]).broken == registry.tasks([path]).broken == {}


def test_a_file_is_imported_once(write: Write, tmp_path: Path) -> None:
    path = write(METHOD + f"open({str(tmp_path / 'count')!r}, 'a').write('x')\n")
    first = registry.methods([path]).get("good").plugin
    assert registry.methods([path]).get("good").plugin is first
    assert registry.tasks([path]).found
    assert (tmp_path / "count").read_text() == "x"


def test_a_file_changed_within_its_second_is_the_new_one(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes a cached module for that of any text of its size and second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = write(METHOD)
    registry.methods([path])
    mtime = path.stat().st_mtime
    sys.modules.pop(registry.load_file(path).__name__)
    write(METHOD.replace("does nothing", "does little!"))
    os.utime(path, (mtime, mtime))
    assert registry.methods([path]).get("good").plugin.summary == "does little!"


def test_two_files_of_one_name_are_two_plugins(tmp_path: Path, write: Write) -> None:
    first = write(METHOD)
    (tmp_path / "other").mkdir()
    second = tmp_path / "other" / "plugin.py"
    second.write_text(IMPORTS + METHOD.replace('"good"', '"better"'))
    assert {"good", "better"} <= set(registry.methods([first, second]).found)


def test_what_a_plugin_prints_does_not_spoil_standard_output(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    registry.methods([write("print('hello')\n" + METHOD)])
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "there is no Python or TOML file of that name"), ("x = 1", "the file defines no Method, Task or Metric")],
)
def test_a_file_without_plugins_is_an_error(content: str | None, reason: str, tmp_path: Path, write: Write) -> None:
    path = tmp_path / "absent.py" if content is None else write(content)
    with pytest.raises(PluginError, match=re.escape(f"--plugin {path}: {reason}.")):
        registry.methods([path])
    with pytest.raises(PluginError, match="there is no Python or TOML file of that name"):
        registry.methods([tmp_path])


# What is broken

BROKEN = {
    "raise LookupError('no luck')": ("plugin", "LookupError: no luck"),
    "import sys; sys.exit(0)": ("plugin", "SystemExit: 0"),
    METHOD.replace('"good"', "''"): ("Good", "Good.name must be a non-empty string, it is ''"),
    METHOD.replace("def apply", "def supply"): ("good", "Good does not define apply()"),
    METHOD + FAMILY.replace("def members", "def m"): ("zoo", "Zoo does not define members()"),
    f"class RankParams(Params):\n    rank: int\n{METHOD}    Params = RankParams\n": (
        "good",
        "Good.Params has no default for rank",
    ),
    METHOD + "    Params = dict\n": ("good", "Good.Params must be a subclass of bench.plugins.Params"),
    METHOD + "    space = {'learning_rate': (1e-4, 1e-2)}\n": (
        "good",
        "Good.space must be made by bench.plugins.rates",
    ),
}
BROKEN_TASKS = {
    TASK.replace('"classification"', '"ranking"'): (
        "good-task",
        "GoodTask.kind must be one of classification, multi-label, regression, token-classification, it is 'ranking'",
    ),
    TASK.replace('("a", "b")', '("a",)'): ("good-task", "GoodTask.labels must name at least two labels"),
    TASK.replace("def read", "def reed"): ("good-task", "GoodTask does not define read()"),
    TASK.replace('"good-task"', '"good/task"'): ("good/task", "GoodTask.name has a slash, which only"),
}

BROKEN_METRICS = {
    METRIC.replace("def compute", "def count"): ("luck", "Luck does not define compute()"),
    METRIC.replace('"regression"', '"ranking"'): ("luck", "Luck.kinds must be one of classification, multi-label, "),
    METRIC.replace('("regression",)', "()"): ("luck", "Luck.kinds must be one of classification, multi-label, "),
    METRIC.replace('("regression",)', '"regression"'): ("luck", "Luck.kinds must be one of classification, "),
    METRIC.replace("    kinds", "    kind"): ("luck", "Luck.kinds must be one of classification, "),
}


@pytest.mark.parametrize("text", [*BROKEN, *BROKEN_TASKS, *BROKEN_METRICS])
def test_a_broken_plugin_is_kept_with_its_reason_and_breaks_nothing_else(text: str, write: Write) -> None:
    name, reason = {**BROKEN, **BROKEN_TASKS, **BROKEN_METRICS}[text]
    kinds: dict[str, Any] = {"method": registry.methods, "task": registry.tasks, "metric": registry.metrics}
    what = "method" if text in BROKEN else "task" if text in BROKEN_TASKS else "metric"
    find = kinds[what]
    fine = (METHOD + TASK + METRIC).replace('"good"', '"fine"').replace('"good-task"', '"fine"')
    fine = fine.replace('"luck"', '"fine"')
    found = find([path := write(text), write(fine, "fine")])
    assert [(key, each.file) for key, each in found.broken.items()] == [(name, path)]
    assert found.broken[name].reason.startswith(reason)
    assert set(found.found) - {"good", "luck"} == {"fine", *find().found}
    with pytest.raises(PluginError, match=re.escape(f"The {what} {name!r} cannot be used: {reason}")):
        found.get(name)


def test_a_metric_of_a_file_scores_a_task_and_is_part_of_its_cells_code(write: Write) -> None:
    task = TASK.replace('"classification"', '"regression"').replace('("a", "b")', "()").replace('"accuracy"', '"luck"')
    luck, mine = write(METRIC, "luck"), write(task, "mine")
    found = registry.metrics([luck])
    of_task = registry.metrics_of(registry.tasks([mine]).get("good-task").plugin, found)
    assert [each.plugin.name for each in of_task] == ["luck", "spearman"]
    assert set(found.found) - set(found.built_in()) == {"luck"}
    files = registry.code_files("lora", "good-task", [luck, mine])
    assert files == [
        ROOT / "methods" / "lora.py",
        mine,
        luck,
        ROOT / "bench" / "metrics" / "correlation.py",
        ROOT / "bench" / "metrics" / "accuracy.py",
    ]
    others = [registry.code_files("lora", "rt-polarity", plugins) for plugins in ([luck, mine], [])]
    assert others[0] == others[1]
    with pytest.raises(UsageError, match="There is no metric 'luck'"):
        registry.code_files("lora", "good-task", [mine])


def test_regression_needs_no_labels(write: Write) -> None:
    text = TASK.replace('"classification"', '"regression"').replace('("a", "b")', "()")
    assert registry.tasks([write(text)]).get("good-task").plugin().num_labels == 1


def test_a_name_that_is_taken_stays_with_the_first(write: Write) -> None:
    path = write(METHOD.replace('"good"', '"lora"'))
    found = registry.methods([path])
    assert found.get("lora").origin == "methods/lora.py"
    assert found.broken == {
        f"lora ({path})": Broken("the name 'lora' is taken by methods/lora.py; give it another name", path)
    }


# Families


def test_a_family_brings_methods_by_their_names_in_it(write: Write) -> None:
    path = write(METHOD + FAMILY)
    found = registry.methods([path])
    assert found.broken == {}
    assert "zoo" not in found.names()
    entry = found.get("zoo:ape")
    assert (entry.plugin.summary, entry.file, entry.origin) == ("does nothing", path, str(path))
    assert build_method(found, parse("zoo:ape")).name == "good"
    assert registry.tasks([path]).families == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zoo:aper", "There is no method 'zoo:aper'; did you mean 'zoo:ape'? There are: zoo:ape, zoo:bear."),
        ("zoo:cat", "zoo:cat is not offered: it is a pet."),
        ("zoo", "'zoo' is a family of methods; name one of them: zoo:ape, zoo:bear."),
        ("zu:bear", "There is no method 'zu:bear'; did you mean 'zoo:bear'? There are: adapters, "),
    ],
)
def test_a_wrong_member_gets_the_nearest_right_one_or_the_reason(name: str, reason: str, write: Write) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(reason)}"):
        registry.methods([write(METHOD + FAMILY)]).get(name)


def test_a_family_cannot_take_a_methods_name_nor_a_method_a_familys(write: Write) -> None:
    family = write(METHOD + FAMILY.replace('"zoo"', '"lora"'), "one")
    method = write(METHOD.replace('"good"', '"peft"'), "two")
    assert registry.methods([family, method]).broken == {
        f"lora ({family})": Broken("the name 'lora' is taken by methods/lora.py; give it another name", family),
        f"peft ({method})": Broken("the name 'peft' is taken by methods/peft_configs.py; give it another name", method),
    }


def test_a_member_that_is_no_method_is_the_familys_fault(write: Write) -> None:
    text = METHOD + FAMILY.replace("object}", "type('Bear', (Method,), {'name': 'bear'})}")
    with pytest.raises(PluginError, match=r"^The method 'zoo:bear' cannot be used: Bear does not define recipe"):
        registry.methods([write(text)]).get("zoo:bear")


# Entry points


def test_plugins_come_from_installed_packages_and_broken_ones_break_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    """A distribution as pip would leave it."""
    info = tmp_path / "third_party_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party-methods\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("""
[bench.methods]
absent = third_party:Missing
nowhere = no_such_module:Good
wrong = third_party:GoodTask
mine = third_party:Good
[bench.tasks]
mine = third_party:GoodTask
[other.group]
x = third_party:Good
""")
    write(METHOD + TASK, "third_party")
    monkeypatch.syspath_prepend(str(tmp_path))
    methods, tasks = registry.methods(), registry.tasks()
    assert methods.get("good").origin == "entry point mine of third-party-methods"
    assert methods.get("good").file.name == "third_party.py"
    assert tasks.get("good-task").origin == "entry point mine of third-party-methods"
    assert tasks.broken == {}
    assert {"good", "lora", "pasta"} <= set(methods.found)
    assert set(methods.broken) == {"absent", "nowhere", "wrong"}
    assert "Missing" in methods.broken["absent"].reason
    assert methods.broken["nowhere"] == Broken("ModuleNotFoundError: No module named 'no_such_module'", None)
    assert "which is not a Method class" in methods.broken["wrong"].reason


# Names


def test_a_wrong_name_gets_the_nearest_right_one() -> None:
    with pytest.raises(UsageError, match=r"^There is no method 'lor'; did you mean 'lora'\? There are: .*pasta.*\.$"):
        registry.methods().get("lor")
    with pytest.raises(UsageError, match=r"^There is no task 'zzzzzz'\. There are: .*sms-spam"):
        registry.tasks().get("zzzzzz")


def test_a_package_of_the_same_name_in_the_current_folder_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name == "tasks" or name.startswith("tasks.")]:
        monkeypatch.delitem(sys.modules, name)
    assert "sms-spam" in registry.tasks().names()
    monkeypatch.delitem(sys.modules, "tasks")
    importlib.import_module("tasks")
    with pytest.raises(PluginError, match=r"Another package 'tasks' .* was imported before bench's own"):
        registry.tasks()
