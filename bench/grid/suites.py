"""Suites: what to run and with which budget, one TOML file each in suites/, or any file of that form.

The presets are suites too. What the command line names replaces what the suite names; the budget stays.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import UsageError, first_error
from bench.plugins.recipe import Settings
from bench.plugins.task import Kind, Pooling
from bench.suggestions import suggest

# By path: the current folder may have a package of this name.
FOLDER = Path(__file__).resolve().parents[2] / "suites"
EVERY_METHOD = "*"
PRESETS = ("quick", "standard", "full")


class Budget(BaseModel):
    """How much of each split is used, and how the reported weights are chosen.

    A limit of None means all examples; validation_examples = 0 means no validation. choose: report the weights at the
    end of training ("last"), or those with the best validation score ("best"), taken every `validate_every` steps and
    at the end, or after each epoch where that is None. epochs_scale multiplies the epochs and
    min_steps of recipes, save those of methods that have a length of their own. score_on: "validation" scores the
    validation split and never reads test, for choosing between settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    train_examples: int | None = Field(None, ge=1)
    validation_examples: int | None = Field(None, ge=0)
    test_examples: int | None = Field(None, ge=1)
    epochs_scale: float = Field(1.0, gt=0)
    choose: Literal["last", "best"] = "last"
    validate_every: int | None = Field(None, ge=1)
    score_on: Literal["test", "validation"] = "test"

    @model_validator(mode="after")
    def _scores_once(self) -> Self:
        if self.score_on == "validation" and (self.choose == "best" or self.validation_examples == 0):
            raise ValueError("score_on = 'validation' needs validation examples, and choose = 'last'")
        return self

    def limit(self, split: str) -> int | None:
        """The most examples of a split that are used; None: all. An extra test is limited as test is."""
        limits = {"train": self.train_examples, "validation": self.validation_examples}
        return limits.get(split, self.test_examples)

    def source(self, split: str) -> str | None:
        """The task's split that a cell takes for this one; None: the cell has no such split."""
        if self.score_on == "test" or split == "train":
            return split
        return "validation" if split == "test" else None


class Suite(BaseModel):
    """A grid: methods x tasks x seeds on one model.

    pooling: how heads for whole texts read the backbone's states, see `bench.train.pooling`; "model": the model's way.
    recipes: settings by method name that replace the method's own; "*" stands for every method, and a name takes
    precedence over it. task_recipes: the same by task, for that task alone, which take precedence over both.
    pscp: ignored; suites of earlier versions may have it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str
    methods: tuple[str, ...] = Field(min_length=1)
    tasks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    model: str = "minilm-l6"
    pooling: Pooling = "model"
    budget: Budget
    recipes: dict[str, Settings] = {}
    task_recipes: dict[str, dict[str, Settings]] = {}
    pscp: dict[str, Any] = Field({}, exclude=True)

    def pooling_on(self, kind: Kind) -> Pooling:
        """How heads read the states on tasks of a kind: token classification reads every token's own, always."""
        return "model" if kind == "token-classification" else self.pooling

    def recipe(self, task: str, method: str) -> dict[str, Any]:
        """The settings that replace the method's own on this task."""
        settings: dict[str, Any] = {}
        for recipes in (self.recipes, self.task_recipes.get(task, {})):
            settings |= recipes.get(EVERY_METHOD, {}) | recipes.get(method, {})
        return settings


def names() -> list[str]:
    """The shipped suites, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load(name_or_path: str) -> Suite:
    """A shipped suite by name, or a TOML file by its path.

    Raises:
        UsageError: naming the suite or file and the field that is wrong.
    """
    file = Path(name_or_path)
    if name_or_path in names():
        file = FOLDER / f"{name_or_path}.toml"
    elif not os.path.isfile(name_or_path):  # noqa: PTH113 - Path.is_file raises on a name that is too long for any file
        raise UsageError(f"There is no suite {name_or_path!r}{suggest(name_or_path, names())}")
    try:
        return Suite.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        where, what = first_error(error)
        raise UsageError(f"The suite {name_or_path} is wrong at {where!r}: {what}.") from None
    except OSError as error:
        raise UsageError(f"The suite {name_or_path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # also for a number with too many digits, or too deep nesting
        raise UsageError(f"The suite {name_or_path} is not TOML: {error}.") from None
