"""Files of tuned recipes: which of them a cell is trained with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageError
from bench.grid import recipes, suites
from bench.grid.recipes import Book, File, Tuned
from bench.grid.suites import Budget, Suite
from bench.plugins import registry
from bench.plugins.recipe import Recipe

SUITE = Suite(name="mine", summary="for tests", methods=("head",), tasks=("a",), budget=Budget())


def tuned(rate: float, task: str | None = "a", method: str = "lora") -> Tuned:
    settings = {"learning_rate": rate, "chosen_by": "tune", "trials": 7, "trial_examples": 8000}
    return Tuned(method=method, task=task, model="minilm-l6", settings=settings, trials=("0" * 16,))


def keep(folder: Path, *found: Tuned, method: str = "lora") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / recipes.file_name(method)).write_text(File(recipes=found).model_dump_json(), encoding="utf-8")
    return folder


def rate(book: Book, task: str = "a", variant: str = "") -> Any:
    return book.settings(variant, task, SUITE).get("learning_rate")


def test_the_task_and_the_variant_that_were_tuned_go_before_others(tmp_path: Path) -> None:
    book = Book(
        "lora", None, keep(tmp_path, tuned(1, None), tuned(2), tuned(3, None, "lora[r=1]"), tuned(4, "b", "lora[r=1]"))
    )
    assert [rate(book), rate(book, "c")] == [2, 1]
    assert [rate(book, "b", "r=1"), rate(book, "a", "r=1")] == [
        4,
        3,
    ]  # this variant on other tasks, before others on it
    assert [rate(book, "a", "r=4"), rate(book, "c", "r=4")] == [2, 1]


def test_a_users_folder_goes_before_what_the_method_ships(tmp_path: Path) -> None:
    plugin = tmp_path / "methods" / "lora.py"
    keep(recipes.beside(plugin), tuned(1), tuned(2, "b"))
    mine = keep(tmp_path / "mine", tuned(3))
    assert [rate(Book("lora", plugin)), rate(Book("lora", plugin, mine))] == [1, 3]
    assert rate(Book("lora", plugin, mine), "b") == 2
    assert rate(Book("lora", None)) is None
    assert Book("other", plugin, mine).settings("", "a", SUITE) == {}


def test_a_package_ships_its_recipes_beside_itself(tmp_path: Path) -> None:
    assert recipes.beside(tmp_path / "pasta" / "__init__.py") == recipes.beside(tmp_path / "lora.py")
    assert recipes.file_name("peft:vera") == "peft-vera.json"


def test_whoever_changes_tuned_settings_answers_for_the_recipe(tmp_path: Path) -> None:
    suite = SUITE.model_copy(update={"recipes": {"lora": {"epochs": 9}}})
    settings = Book("lora", None, keep(tmp_path, tuned(0.5))).settings("", "a", suite)
    assert settings == {"learning_rate": 0.5, "epochs": 9}
    own = Recipe(learning_rate=1, epochs=1, chosen_by="its author", trials=3)
    settled = suites.settled(own, settings, "mine", Budget(), "cpu")
    assert (settled.chosen_by, settled.learning_rate) == ("the suite mine", 0.5)


def test_tuned_settings_say_who_chose_them(tmp_path: Path) -> None:
    settings = Book("lora", None, keep(tmp_path, tuned(0.5))).settings("", "a", SUITE)
    settled = suites.settled(Recipe(learning_rate=1, epochs=1, chosen_by="me"), settings, "mine", Budget(), "cpu")
    assert (settled.chosen_by, settled.trials, settled.trial_examples) == ("tune", 7, 8000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "are wrong at its start: Invalid JSON"),
        ("[]", "are wrong at its start: "),
        ('{"recipes": [{"method": "lora"}]}', "are wrong at recipes.0.task: Field required."),
        (File(recipes=(tuned(1),)).model_dump_json().replace(":1,", ":-1,"), "are wrong at recipes.0.settings: "),
        (File(recipes=(tuned(1),)).model_dump_json().replace("learning_rate", "learning"), "are wrong at recipes.0.se"),
    ],
)
def test_a_file_that_is_none_is_refused(content: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "lora.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(f"The recipes in {path} {reason}")) as caught:
        rate(Book("lora", None, tmp_path))
    assert "\n" not in str(caught.value)


def test_what_methods_ship_is_whole_and_theirs() -> None:
    """Each names its trials, as many and as long as every other's, and gives a recipe with the method's own."""
    found = registry.methods().found
    budgets = set()
    for path in sorted(recipes.beside(next(iter(found.values())).file).glob("*.json")):
        for each in recipes.load(path).recipes:
            name = each.method.split("[")[0]
            assert recipes.file_name(name) == path.name
            assert name in found
            settings = Recipe(**each.settings)
            assert settings.chosen_by.startswith("tune on validation of ")
            assert settings.trials is not None
            budgets.add((each.task, settings.trials, settings.trial_examples))
    of_tasks = {task: {budget[1:] for budget in budgets if budget[0] == task} for task, *_ in budgets}
    assert all(len(each) == 1 for each in of_tasks.values()), of_tasks
