"""Which recipe a cell is trained with, and where each of its settings is from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageError
from bench.grid import recipes
from bench.grid.recipes import File, Overrides, RecipeStore, Tuned, length_scale, resolve_recipe
from bench.grid.suites import Budget, Suite
from bench.plugins import Method, Params, Recipe, registry
from bench.plugins.specs import build_method, parse

SUITE = Suite(name="mine", summary="for tests", methods=("head",), tasks=("a",), budget=Budget())
OWN = Recipe(learning_rate=1, epochs=2, chosen_by="its author")


class LoraParams(Params):
    r: int = 8


class Lora(Method):
    name = "lora"
    Params = LoraParams


def tuned(rate: float, task: str | None = "a", method: str = "lora") -> Tuned:
    settings = {"learning_rate": rate, "chosen_by": "tune", "trials": 7, "trial_examples": 8000}
    return Tuned(method=method, task=task, model="minilm-l6", settings=settings, trials=("0" * 16,))


def keep(folder: Path, *found: Tuned, method: str = "lora") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / recipes.file_name(method)).write_text(File(recipes=found).model_dump_json(), encoding="utf-8")
    return folder


def overrides(folder: Path | None, task: str = "a", suite: Suite = SUITE, **params: int) -> Overrides:
    return RecipeStore(folder, shipped=False).overrides(Lora(LoraParams(**params)), task, suite)


def rate(folder: Path | None, task: str = "a", **params: int) -> Any:
    return overrides(folder, task, **params).settings.get("learning_rate")


# Tuned recipes


def test_a_recipe_of_the_variant_and_of_the_task_is_preferred(tmp_path: Path) -> None:
    folder = keep(tmp_path, tuned(1, None), tuned(2), tuned(3, None, "lora[r=1]"), tuned(4, "b", "lora[r=1]"))
    assert [rate(folder), rate(folder, "c")] == [2, 1]
    # This variant on other tasks goes before the defaults on this one.
    assert [rate(folder, "b", r=1), rate(folder, "a", r=1)] == [4, 3]
    assert [rate(folder, "a", r=4), rate(folder, "c", r=4)] == [2, 1]
    assert rate(None) is None


def test_a_users_folder_goes_before_what_the_method_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = keep(tmp_path / "methods" / "recipes", tuned(1), tuned(2, "b"))
    mine = keep(tmp_path / "mine", tuned(3))
    monkeypatch.setattr(recipes, "folder_of", lambda method: shipped)
    method = Lora(LoraParams())
    found = [
        RecipeStore(folder).overrides(method, task, SUITE) for folder, task in ((None, "a"), (mine, "a"), (mine, "b"))
    ]
    assert [(each.settings["learning_rate"], each.sources["learning_rate"]) for each in found] == [
        (1, "methods/recipes/lora.json: tuned on a"),
        (3, "--recipes mine/lora.json: tuned on a"),
        (2, "methods/recipes/lora.json: tuned on b"),
    ]
    assert RecipeStore(mine, shipped=False).overrides(method, "b", SUITE) == Overrides()


def test_a_package_has_its_recipes_beside_itself() -> None:
    found = registry.methods()
    assert recipes.folder_of(found.get("pasta").plugin) == recipes.folder_of(found.get("peft:vera").plugin)
    assert recipes.file_name("peft:vera") == "peft-vera.json"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "are wrong at its start: Invalid JSON"),
        ('{"recipes": [{"method": "lora"}]}', "are wrong at recipes.0.task: Field required."),
        (File(recipes=(tuned(1),)).model_dump_json().replace(":1,", ":-1,"), "are wrong at recipes.0.settings: "),
    ],
)
def test_a_wrong_file_is_refused(content: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "lora.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(f"The recipes in {path} {reason}")) as caught:
        rate(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_variant_without_trials_inherits_and_shows_none_of_them(tmp_path: Path) -> None:
    folder = keep(tmp_path, tuned(1), tuned(2, None, "lora[r=1]"))
    inherited = overrides(folder, r=4).settings
    assert inherited == {
        "learning_rate": 1, "chosen_by": "inherits lora's recipe: tune", "trials": 0, "trial_examples": None
    }  # fmt: skip
    assert resolve_recipe(OWN, overrides(folder, r=4), "mine", 1.0, "cpu").recipe.trials == 0
    assert overrides(folder).settings["trials"] == overrides(folder, r=1).settings["trials"] == 7


def test_a_users_recipe_for_all_tasks_goes_before_a_shipped_one_of_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But what the method ships for a variant goes before what the variant would inherit."""
    shipped = keep(tmp_path / "methods" / "recipes", tuned(1), tuned(2, "a", "lora[r=1]"))
    mine = keep(tmp_path / "mine", tuned(3, None))
    monkeypatch.setattr(recipes, "folder_of", lambda method: shipped)
    found = [RecipeStore(mine).overrides(Lora(LoraParams(r=r)), "a", SUITE) for r in (8, 1)]
    assert [each.settings["learning_rate"] for each in found] == [3, 2]


# The recipe of a cell


def test_a_methods_own_recipe_is_completed_by_defaults_and_the_device() -> None:
    found = resolve_recipe(OWN, Overrides(), "mine", 1.0, "cpu")
    assert found.recipe == OWN.model_copy(update={"masks": "16-bit"})
    assert resolve_recipe(OWN, Overrides(), "mine", 1.0, "cuda").recipe.masks == "torch"
    assert found.sources == {
        **dict.fromkeys(Recipe.model_fields.keys() - {"chosen_by", "trials", "trial_examples"}, "default"),
        "learning_rate": "method",
        "epochs": "method",
        "masks": "device",
    }
    masks = Recipe(learning_rate=1, epochs=1, chosen_by="me", masks="torch")
    kept = resolve_recipe(masks, Overrides(), "mine", 1.0, "cpu")
    assert (kept.recipe.masks, kept.sources["masks"]) == ("torch", "method")


def test_tuned_settings_keep_their_history(tmp_path: Path) -> None:
    found = resolve_recipe(OWN, overrides(keep(tmp_path, tuned(0.5))), "mine", 1.0, "cpu")
    recipe = found.recipe
    assert (recipe.learning_rate, recipe.chosen_by, recipe.trials, recipe.trial_examples) == (0.5, "tune", 7, 8000)
    assert found.sources["learning_rate"] == f"--recipes {tmp_path.name}/lora.json: tuned on a"


def test_a_suite_replaces_tuned_settings_and_their_history(tmp_path: Path) -> None:
    suite = SUITE.model_copy(update={"recipes": {"lora": {"epochs": 9}}})
    changed = overrides(keep(tmp_path, tuned(0.5, None)), suite=suite)
    assert changed.settings == {"learning_rate": 0.5, "epochs": 9}
    found = resolve_recipe(OWN, changed, "mine", 1.0, "cpu")
    assert (found.recipe.chosen_by, found.recipe.learning_rate, found.recipe.epochs) == ("the suite mine", 0.5, 9)
    sources = {name: found.sources[name] for name in changed.settings}
    origin = f"--recipes {tmp_path.name}/lora.json: tuned on several tasks"
    assert sources == {"learning_rate": origin, "epochs": "suite mine"}


def test_the_budget_scales_the_length() -> None:
    changed = Overrides({"min_steps": 5}, {"min_steps": "suite mine"})
    found = resolve_recipe(OWN, changed, "mine", 0.3, "cpu")
    assert (found.recipe.epochs, found.recipe.min_steps) == (2 * 0.3, 2)
    assert found.sources["epochs"] == "method, times 0.3 (budget)"
    assert found.sources["min_steps"] == "suite mine, times 0.3 (budget)"


def test_the_budget_does_not_shorten_a_floor() -> None:
    methods, budget = registry.methods(), Budget(epochs_scale=0.3)
    scales = {name: length_scale(build_method(methods, parse(name)), budget) for name in ("head", "lora")}
    assert scales == {"head": 1.0, "lora": 0.3}
