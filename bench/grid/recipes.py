"""Tuned recipes: what `python -m bench tune` chose, in a file a method.

They lie in a folder `recipes` beside the plugin, which ships them, or in a folder of the user's own, which goes before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bench.errors import UsageError
from bench.grid.suites import Settings, Suite, are_settings
from bench.plugins.recipe import HISTORY
from bench.plugins.specs import method_label

FOLDER = "recipes"


class Tuned(BaseModel):
    """Settings of a recipe that were chosen from trials.

    method: with parameters, as the command line takes it. task: that the trials were of; None: for any other task.
    trials: the cells that were compared, the chosen one first; several seeds or tasks have several of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    task: str | None
    model: str
    settings: Annotated[Settings, AfterValidator(are_settings)]
    trials: tuple[str, ...] = Field(min_length=1)


class File(BaseModel):
    """A method's tuned recipes, as they lie on the disk: JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipes: tuple[Tuned, ...]


def file_name(method: str) -> str:
    """The name of a method's file; one of a family, `peft:vera`, is named without the colon, which Windows refuses."""
    return f"{method.replace(':', '-')}.json"


def load(path: Path) -> File:
    """Read a file of tuned recipes.

    Raises:
        UsageError: naming the file and what is wrong with it.
    """
    try:
        return File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "its start"
        raise UsageError(f"The recipes in {path} are wrong at {where}: {fault['msg']}.") from None
    except OSError as error:
        raise UsageError(f"The recipes in {path} cannot be read: {error.strerror or error}.") from None


def beside(plugin: Path) -> Path:
    """Where a method's file, or its package's `__init__.py`, has its tuned recipes."""
    return (plugin.parents[1] if plugin.name == "__init__.py" else plugin.parent) / FOLDER


@dataclass(frozen=True)
class Book:
    """The tuned recipes of one method: those of the user's folder first, then those that it ships.

    plugin: the method's file; None: what it ships is not asked. folder: the user's.
    """

    method: str
    plugin: Path | None
    folder: Path | None = None

    @cached_property
    def _tuned(self) -> list[Tuned]:
        folders = [folder for folder in (self.folder, self.plugin and beside(self.plugin)) if folder]
        files = [path for folder in folders if (path := folder / file_name(self.method)).is_file()]
        return [tuned for path in files for tuned in load(path).recipes]

    def settings(self, variant: str, task: str, suite: Suite) -> Settings:
        """What replaces the method's own recipe on this task: tuned settings, and over them those of the suite.

        Trials of the very variant go before those of the method as it is by default, and trials on the task before
        what did best over all tasks of the trials. Whoever changes tuned settings answers for the recipe.
        """
        named = suite.recipe(task, self.method)
        tuned = self._find([method_label(self.method, variant), self.method], [task, None])
        if tuned is None:
            return named
        kept = {key: value for key, value in tuned.settings.items() if not (named and key in HISTORY)}
        return {**kept, **named}

    def _find(self, methods: Iterable[str], tasks: Iterable[str | None]) -> Tuned | None:
        wanted = [(method, task) for method in methods for task in tasks]
        return next((each for want in wanted for each in self._tuned if (each.method, each.task) == want), None)
