"""Suites and presets: what ships, and what a file of the user's own must say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.grid import models, suites
from bench.grid.suites import PRESETS, Budget
from bench.plugins import registry
from bench.plugins.recipe import Recipe
from bench.plugins.specs import build_method, parse
from bench.runner.options import Options
from bench.runner.plan import plan
from bench.runner.request import Request, suite_of

WHOLE = """
name = "mine"
summary = "for tests"
methods = ["pasta", "lora[r=4]"]
tasks = ["sms-spam"]
seeds = [3]
model = "./folder"
[budget]
train_examples = 10
epochs_scale = 0.5
[recipes."*"]
epochs = 1
dropout = 0.2
[recipes.lora]
epochs = 2
[task_recipes.sms-spam.lora]
batch_size = 8
[task_recipes.us-address.lora]
epochs = 9
[pscp.train_memory] # of earlier versions, ignored
constant = 1024
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(WHOLE, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", suites.names())
def test_a_shipped_suite_names_only_what_there_is(name: str) -> None:
    suite = suites.load(name)
    methods, tasks = registry.methods(), registry.tasks()
    assert suite.name == name
    for entry in suite.methods:
        build_method(methods, parse(entry))
    for task in suite.tasks:
        tasks.get(task)
    for task, recipes in suite.task_recipes.items():
        assert task in suite.tasks
        assert recipes.keys() <= {parse(entry).name for entry in suite.methods}
    for method in suite.recipes.keys() - {"*"}:
        methods.get(method)
    for recipes in (suite.recipes, *suite.task_recipes.values()):
        assert all("chosen_by" in settings for settings in recipes.values())
    models.find(suite.model)
    assert len(set(suite.seeds)) == len(suite.seeds) > 1  # one seed makes no claim


def test_the_presets_grow() -> None:
    quick, standard, full = (suites.load(name) for name in PRESETS)
    assert set(quick.tasks) <= set(standard.tasks) <= set(full.tasks)
    assert set(quick.methods) <= set(standard.methods) <= set(full.methods)
    assert full.budget == Budget()


GLUE = {f"glue-{name}" for name in ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")}
# As the scripts of luka-group/PASTA set them: learning rate, epochs, batch size.
PAPER = {
    "paper-glue-bert-large": (GLUE, "bert-large-cased", (2.5e-4, 150, 32)),
    "paper-glue-roberta-large": (GLUE, "roberta-large", (2.5e-4, 150, 32)),
    "paper-conll2003": ({"conll2003"}, "bert-large-cased", (3e-3, 100, 16)),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_suites_have_the_papers_recipe(name: str) -> None:
    suite, (tasks, model, settings) = suites.load(name), PAPER[name]
    assert (set(suite.tasks), suite.model) == (tasks, model)
    for task in suite.tasks:
        recipe = Recipe(**suite.recipe(task, "pasta"))  # it says all of a recipe that has no default
        assert (recipe.weight_decay, recipe.warmup_ratio, recipe.dropout, recipe.min_steps) == (0, 0, 0.1, 0)
        assert (recipe.learning_rate, recipe.epochs, recipe.batch_size) == settings
        stated = task == "conll2003" or (task, model) == ("glue-mrpc", "bert-large-cased")
        assert ("nothing is stated" not in recipe.chosen_by) == stated


def test_the_prefixes_beside_the_paper_have_their_authors_recipe() -> None:
    """That of run_conll03_roberta.sh of THUDM/P-tuning-v2, with its pre_seq_len."""
    suite = suites.load("paper-conll2003")
    recipe = Recipe(**suite.recipe("conll2003", "prefix_tuning"))
    assert (recipe.learning_rate, recipe.epochs, recipe.batch_size) == (3e-2, 30, 16)
    assert "prefix_tuning[tokens=11]" in suite.methods


def test_a_file_of_ones_own(file: Path) -> None:
    suite = suites.load(str(file))
    assert (suite.name, suite.methods, suite.seeds, suite.model) == ("mine", ("pasta", "lora[r=4]"), (3,), "./folder")
    assert suite.recipes == {"*": {"epochs": 1, "dropout": 0.2}, "lora": {"epochs": 2}}
    assert suite.recipe("sms-spam", "lora") == {"epochs": 2, "dropout": 0.2, "batch_size": 8}
    assert suite.recipe("rt-polarity", "lora") == {"epochs": 2, "dropout": 0.2}
    assert suite.recipe("us-address", "lora") == {"epochs": 9, "dropout": 0.2}
    assert suite.recipe("sms-spam", "pasta") == {"epochs": 1, "dropout": 0.2}
    assert [suite.budget.limit(split) for split in ("train", "validation", "test")] == [10, None, None]
    assert (suite.budget.epochs_scale, suite.budget.choose) == (0.5, "last")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "mine"', "", "is wrong at 'name': Field required."),
        ("train_examples = 10", "train_examples = 0", "is wrong at 'budget.train_examples': "),
        *(
            ("epochs_scale = 0.5", f"score_on = 'validation'\n{more}", "is wrong at 'budget': Value error, score_on = ")
            for more in ('choose = "best"', "validation_examples = 0")
        ),
        ("[budget]", "[budget", "is not TOML: "),
        ("for tests", "f\udcffr", "is not TOML: "),
        ("epochs = 2", "epoch = 2", "is wrong at 'recipes.lora': Value error, epoch: Extra inputs are not permitted."),
        ("batch_size = 8", "batch_size = 0", "is wrong at 'task_recipes.sms-spam.lora': Value error, batch_size: "),
        ("[task_recipes.sms-spam.lora]", "[task_recipes.lora]", "is wrong at 'task_recipes.lora.batch_size': "),
    ],
)
def test_what_is_wrong_in_a_file_is_named(old: str, new: str, reason: str, file: Path) -> None:
    assert old in WHOLE
    file.write_bytes(WHOLE.replace(old, new).encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=re.escape(f"The suite {file} {reason}")) as caught:
        suites.load(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[recipes.lora]", "[recipes.lor]", "There is no method 'lor'; did you mean 'lora'?"),
        ("[task_recipes.sms-spam.lora]", "[task_recipes.sms-spam.lor]", "There is no method 'lor'; did you mean"),
        ("[task_recipes.sms-spam.lora]", "[task_recipes.sms.lora]", "There is no task 'sms'; did you mean 'sms-spam'?"),
    ],
)
def test_recipes_for_what_there_is_not_are_refused_before_anything_is_fetched(
    old: str, new: str, reason: str, file: Path
) -> None:
    file.write_text(WHOLE.replace(old, new), encoding="utf-8")
    suite = suites.load(str(file))
    request = Request(Options(), suite, [parse("lora")], suite.tasks, suite.seeds, suite.model)
    with pytest.raises(UsageError, match=re.escape(reason)):
        plan(request)


def test_a_wrong_name_gets_the_nearest_right_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no suite 'quik'; did you mean 'quick'\?"):
        suites.load("quik")
    with pytest.raises(UsageError, match="There is no suite"):
        suites.load(str(tmp_path))


def test_suite_and_preset(file: Path) -> None:
    assert suite_of(None, None) == suites.load("quick")
    assert suite_of(None, "full") == suite_of("full", None) == suites.load("full")
    assert suite_of(str(file), None).name == "mine"
    with pytest.raises(UsageError, match="not both"):
        suite_of("quick", "quick")
    with pytest.raises(UsageError, match=r"There is no preset 'ful'; did you mean 'full'\?"):
        suite_of(None, "ful")
