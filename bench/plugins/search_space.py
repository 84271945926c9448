"""What `python -m bench tune` may try of a method's recipe: learning rates, and a few values of other settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.plugins.recipe import HISTORY, LENGTH, Recipe, settings_error

# An AdamW step moves a weight by about the learning rate. Below the first nothing moves in a few hundred steps; above
# the second a step is larger than any weight.
LEAST_RATE, MOST_RATE = 1e-7, 1.0


@dataclass(frozen=True)
class Space:
    """Learning rates from `low` to `high`, and values of other settings to try at the best of them.

    source: where the range is from: a paper, its authors' code, documentation, or this project. published: the least
    and the largest rate that the source used, or its only one; empty: the source is this project. options: values of
    other settings of a recipe by name, of which the method's own is one or not.

    Raises:
        ValueError: for a range that is none, a published rate outside of it, and a value that no recipe can have.
    """

    low: float
    high: float
    source: str = ""
    published: tuple[float, ...] = ()
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=lambda: {"dropout": (0.0, None)})

    def __post_init__(self) -> None:
        if not LEAST_RATE <= self.low < self.high <= MOST_RATE:
            raise ValueError(
                f"rates from {self.low} to {self.high}: the first must be less than the second, and both between "
                f"{LEAST_RATE:g} and {MOST_RATE:g}"
            )
        if outside := [rate for rate in self.published if not self.low <= rate <= self.high]:
            raise ValueError(f"the published rate {outside[0]} is not between {self.low} and {self.high}")
        for name, values in self.options.items():
            if name == "learning_rate" or name in LENGTH | HISTORY or name not in Recipe.model_fields:
                raise ValueError(f"{name!r} is no setting of a recipe that `tune` searches among options")
            for value in values:
                if (error := settings_error({name: value})) is not None:
                    raise ValueError(f"an option has a value that no recipe can have: {error}")

    def steps(self, rates: int) -> int:
        """How many steps it is from `low` to `high` on a logarithmic grid of `rates` rates over two decades."""
        exact = math.log10(self.high / self.low) * (rates - 1) / 2
        return max(1, math.ceil(exact - 0.25))  # evenly apart: rather somewhat longer steps than one more

    def rate(self, at: int, steps: int) -> float | None:
        """The rate `at` steps from `low`, to two significant digits; beyond the range too, as far as makes sense."""
        exact = self.low * (self.high / self.low) ** (at / steps)
        return float(f"{exact:.2g}") if LEAST_RATE <= exact <= MOST_RATE * (1 + 1e-9) else None


def rates(low: float, high: float, source: str = "", **more: Any) -> Space:
    """The space of a method: learning rates from low to high, then dropout off and as the model has it; see `Space`."""
    return Space(low, high, source, **more)


def space_error(space: object) -> str | None:
    """What is wrong with the `space` of a plugin, as the rest of a sentence; None: nothing."""
    if space is None or isinstance(space, Space):
        return None
    return "must be made by bench.plugins.rates, such as rates(1e-4, 1e-2, source='this project')"
