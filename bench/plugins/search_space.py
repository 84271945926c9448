"""What `python -m bench tune` may try: a method's search space over the settings of its recipe, and points in it.

Must be importable without torch or scipy at once, as plugins are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from bench.plugins.method import Recipe


@dataclass(frozen=True)
class Log:
    """Numbers from `low` to `high`, spread evenly over their logarithms."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high:
            raise ValueError(f"Log({self.low}, {self.high}): the first must be positive and less than the second")

    def at(self, share: float) -> float:
        """The number at a share in [0, 1) of the way, to two significant digits."""
        return float(f"{self.low * (self.high / self.low) ** share:.2g}")


@dataclass(frozen=True, init=False)
class OneOf:
    """A few values, each as likely as the others."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        if not values:
            raise ValueError("OneOf() needs at least one value")
        object.__setattr__(self, "values", values)

    def at(self, share: float) -> Any:
        """The value at a share in [0, 1) of the way."""
        return self.values[int(share * len(self.values) + 1e-9)]  # 7/9 of 9 is 7, whatever floats say


Space = Mapping[str, Log | OneOf]  # by setting of bench.plugins.method.Recipe
LENGTH = {"epochs", "min_steps"}  # settings that are the same in every trial of every method
HISTORY = {"chosen_by", "trials", "trial_examples"}  # settings that say how a recipe came about


def fault(space: object) -> str | None:
    """What is wrong with a search space, whatever a third party put there, as a clause; None: nothing."""
    if not isinstance(space, Mapping):
        return "must be a mapping, such as bench.plugins.search_space.rates(1e-4, 1e-2)"
    for name, side in space.items():
        if name not in Recipe.model_fields:
            return f"names {name!r}, which is no setting of a recipe"
        if name in LENGTH | HISTORY:
            return f"names {name!r}, which is the same for every method or says where a recipe is from"
        if not isinstance(side, Log | OneOf):
            return f"must have a bench.plugins.search_space.Log or OneOf for {name!r}"
        try:
            for value in (side.low, side.high) if isinstance(side, Log) else side.values:
                Recipe(**{"learning_rate": 1, "epochs": 1, "chosen_by": "nobody", name: value})
        except ValidationError as error:
            return f"has a value for {name!r} that no recipe can have: {error.errors()[0]['msg']}"
    return None


def rates(low: float, high: float) -> Space:
    """A space of equal size for every method: learning rates from low to high, with the model's dropout and without."""
    return MappingProxyType({"learning_rate": Log(low, high), "dropout": OneOf(0.0, None)})


def points(space: Space, count: int) -> list[dict[str, Any]]:
    """The first `count` points of a space's Halton sequence; more of them begin with the same ones.

    Halton's sequence (1960) fills each dimension evenly whatever the count: the first 7 numbers of its first dimension
    are the eighths. Nothing is drawn, so everybody tries the same points.
    """
    from scipy.stats import qmc

    sequence = qmc.Halton(d=len(space), scramble=False)
    sequence.fast_forward(1)  # past the corner
    shares = sequence.random(count)
    return [
        {name: side.at(float(share)) for (name, side), share in zip(space.items(), row, strict=True)} for row in shares
    ]
