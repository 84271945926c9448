"""Named grids: what to run and with which budget, one TOML file each in suites/, or any file of that form.

The presets are suites too. What the command line names replaces what the suite names; the budget stays.
"""

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import UsageError
from bench.method import Recipe
from bench.registry import suggest

PRESETS = ("quick", "standard", "full")


class Budget(BaseModel):
    """How much of each split is used, and how the reported weights are chosen.

    A limit of None means all examples; of validation, 0 means that nothing is validated. choose: report
    the weights at the end of training ("last"), or those of the epoch with the best validation score
    ("best"). epochs_scale multiplies every recipe's epochs (and its least number of steps).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_examples: int | None = Field(None, ge=1)
    validation_examples: int | None = Field(None, ge=0)
    test_examples: int | None = Field(None, ge=1)
    epochs_scale: float = Field(1.0, gt=0)
    choose: Literal["last", "best"] = "last"

    def limit(self, split: str) -> int | None:
        """The most examples of a split that are used; None: all."""
        limit: int | None = getattr(self, f"{split}_examples")
        return limit


class Suite(BaseModel):
    """A grid: methods x tasks x seeds on one model. recipes: settings by method name that replace its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str
    methods: tuple[str, ...] = Field(min_length=1)
    tasks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    model: str = "minilm-l6"
    budget: Budget
    recipes: dict[str, dict[str, Any]] = {}

    @field_validator("recipes")
    @classmethod
    def _are_settings(cls, recipes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Found out now and not in every cell: a setting that no recipe has, or a value that none can have."""
        for method, changed in recipes.items():
            try:
                Recipe(**{"learning_rate": 1, "epochs": 1, "chosen_by": "nobody", **changed})
            except ValidationError as error:
                fault = error.errors()[0]
                raise ValueError(f"{method}.{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
        return recipes


def names() -> list[str]:
    """The shipped suites, sorted."""
    return sorted(file.name.removesuffix(".toml") for file in files("suites").iterdir() if file.name.endswith(".toml"))


def load(name_or_path: str) -> Suite:
    """A shipped suite by name, or a TOML file by its path.

    Raises:
        UsageError: naming the suite or file and the field that is wrong.
    """
    file: Traversable = Path(name_or_path)
    if name_or_path in names():
        file = files("suites").joinpath(f"{name_or_path}.toml")
    elif not file.is_file():
        raise UsageError(f"There is no suite {name_or_path!r}{suggest(name_or_path, names())}")
    try:
        return Suite(**tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The suite {name_or_path} is not TOML: {error}.") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise UsageError(f"The suite {name_or_path} is wrong at {where!r}: {fault['msg']}.") from None
