"""The recipe that a cell is trained with, and where each of its settings is from.

The method's own recipe (`Method.recipe`) is changed, in this order, by

1. tuned recipes, which `python -m bench tune` writes: a folder of the user's, then the folder `recipes` beside the
   method's file;
2. the suite, first for all tasks and then for this one;
3. the suite's budget, which scales the length of the training, if the method does not have one of its own;
4. the device, which decides how dropout's masks are drawn where nobody else has.

1 and 2 are settings that are known when a grid is planned: they are a part of the cell (`Cell.recipe`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import UsageError, first_error
from bench.grid.suites import Budget, Suite
from bench.plugins.method import Method
from bench.plugins.recipe import HISTORY, LENGTH, Recipe, Settings, cheaper_masks
from bench.plugins.specs import changed_params, method_label

FOLDER = "recipes"


class Tuned(BaseModel):
    """Settings of a recipe that were chosen from trials.

    method: with parameters, as the command line takes it. task: of the trials; None: for any other task.
    trials: the cells that were compared, the chosen one first; several seeds or tasks have several of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    task: str | None
    model: str
    settings: Settings
    trials: tuple[str, ...] = Field(min_length=1)


class File(BaseModel):
    """A method's tuned recipes, as they are on disk: JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipes: tuple[Tuned, ...]


def file_name(method: str) -> str:
    """The name of a method's file; a family's `peft:vera` is written without the colon, which Windows refuses."""
    return f"{method.replace(':', '-')}.json"


def load(path: Path) -> File:
    """Read a file of tuned recipes.

    Raises:
        UsageError: naming the file and what is wrong with it.
    """
    try:
        return File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        where, what = first_error(error)
        raise UsageError(f"The recipes in {path} are wrong at {where or 'its start'}: {what}.") from None
    except OSError as error:
        raise UsageError(f"The recipes in {path} cannot be read: {error.strerror or error}.") from None


def folder_of(method: type[Method]) -> Path:
    """Where a method's file, or its package, has its tuned recipes."""
    file = Path(inspect.getfile(method))
    return (file.parents[1] if file.name == "__init__.py" else file.parent) / FOLDER


@dataclass(frozen=True)
class Overrides:
    """Settings that replace the method's own, and where each is from."""

    settings: dict[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RecipeStore:
    """Tuned recipes: those of the user's folder first, then those beside the methods (shipped=False: not these)."""

    folder: Path | None = None
    shipped: bool = True

    def overrides(self, method: Method, task: str, suite: Suite) -> Overrides:
        """The settings that replace the method's own on this task: tuned ones, and over them those of the suite.

        A recipe of this variant is preferred to one of the method's defaults, which it then inherits; of these, one of
        the user's folder to one that is shipped; of these, the recipe of the task to that of all tasks. Where the
        suite changes tuned settings, their history no longer tells who chose the recipe.
        """
        named = suite.recipe(task, method.name)
        variant = method_label(method.name, changed_params(method.params))
        found = [
            ((each.method != variant, place, each.task is None), each, origin)
            for place, each, origin in self._tuned(type(method))
            if each.method in (variant, method.name) and each.task in (task, None)
        ]
        settings: dict[str, Any] = {}
        sources = {}
        if found:
            (inherits, *_), best, origin = min(found, key=lambda each: each[0])
            settings = {**best.settings, **(_inherited(best) if inherits else {})}
            settings = {key: value for key, value in settings.items() if not (named and key in HISTORY)}
            sources = dict.fromkeys(settings, f"{origin}: tuned on {best.task or 'several tasks'}")
        return Overrides({**settings, **named}, {**sources, **dict.fromkeys(named, f"suite {suite.name}")})

    def _tuned(self, method: type[Method]) -> Iterator[tuple[int, Tuned, str]]:
        """Each tuned recipe of a method: the rank of its folder, itself, its file without a path of this machine."""
        places = [(self.folder, f"--recipes {self.folder.name}")] if self.folder else []
        if self.shipped:
            shipped = folder_of(method)
            places.append((shipped, f"{shipped.parent.name}/{FOLDER}"))
        name = file_name(method.name)
        for place, (folder, origin) in enumerate(places):
            if (folder / name).is_file():
                for tuned in load(folder / name).recipes:
                    yield place, tuned, f"{origin}/{name}"


def _inherited(tuned: Tuned) -> dict[str, Any]:
    """The history of a recipe for a variant of its method, which had no trials of its own."""
    chosen_by = f"inherits {tuned.method}'s recipe: {tuned.settings.get('chosen_by', 'nobody says by whom')}"
    return {"chosen_by": chosen_by, "trials": 0, "trial_examples": None}


@dataclass(frozen=True)
class ResolvedRecipe:
    """The recipe that a cell is trained with, and where each setting is from.

    sources: by setting: `method`, `default` (of `Recipe`), a file of tuned recipes, a suite, or `device`.
    """

    recipe: Recipe
    sources: dict[str, str]


def length_scale(method: Method, budget: Budget) -> float:
    """What the length of the method's training is multiplied by."""
    return 1.0 if method.own_length else budget.epochs_scale


def resolve_recipe(own: Recipe, overrides: Overrides, suite: str, scale: float, device: str) -> ResolvedRecipe:
    """The method's own recipe, changed by tuned recipes and the suite, by the budget and by the device.

    scale: of its length, see `length_scale`.
    """
    changed = dict(overrides.settings)
    if changed:
        changed.setdefault("chosen_by", f"the suite {suite}")
    recipe = Recipe(**{**own.model_dump(), **changed})
    sources = {name: "method" if name in own.model_fields_set else "default" for name in Recipe.model_fields}
    sources |= {name: overrides.sources.get(name, f"suite {suite}") for name in changed}
    update: dict[str, Any] = {"epochs": recipe.epochs * scale, "min_steps": round(recipe.min_steps * scale)}
    if scale != 1:
        sources |= {name: f"{sources[name]}, times {scale:g} (budget)" for name in LENGTH}
    if recipe.masks is None:
        update["masks"] = cheaper_masks(device)
        sources["masks"] = "device"
    settings = [name for name in Recipe.model_fields if name not in HISTORY]
    return ResolvedRecipe(recipe.model_copy(update=update), {name: sources[name] for name in settings})
