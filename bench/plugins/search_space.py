"""What `python -m bench tune` may try: a method's search space over the settings of its recipe, and points in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bench.plugins.recipe import HISTORY, LENGTH, Recipe, settings_error


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
        object.__setattr__(self, "values", values)

    def at(self, share: float) -> Any:
        """The value at a share in [0, 1) of the way."""
        return self.values[int(share * len(self.values) + 1e-9)]  # 7/9 of 9 is 7, even in floating point


Space = Mapping[str, Log | OneOf]  # by setting of bench.plugins.recipe.Recipe


def rates(low: float, high: float) -> Space:
    """A space of equal size for every method: learning rates from low to high, with the model's dropout and without."""
    return MappingProxyType({"learning_rate": Log(low, high), "dropout": OneOf(0.0, None)})


def space_error(space: object) -> str | None:
    """What is wrong with the `space` of a plugin, as the rest of a sentence; None: nothing."""
    if not isinstance(space, Mapping):
        return "must be a mapping, such as bench.plugins.rates(1e-4, 1e-2)"
    for name, values in space.items():
        if name not in Recipe.model_fields:
            return f"names {name!r}, which is no setting of a recipe"
        if name in LENGTH | HISTORY:
            return f"names {name!r}, which is not searched: it is the same for every method, or says who chose a recipe"
        if not isinstance(values, Log | OneOf):
            return f"must have a Log or OneOf of bench.plugins for {name!r}"
        for value in (values.low, values.high) if isinstance(values, Log) else values.values:
            if (error := settings_error({name: value})) is not None:
                return f"has a value that no recipe can have: {error}"
    return None


def points(space: Space, count: int) -> list[dict[str, Any]]:
    """The first `count` points of a space's Halton sequence; a longer list begins with the same ones.

    Halton's sequence (1960) fills each dimension evenly whatever the count: the first 7 numbers of its first dimension
    are the eighths. Nothing is random, so every run tries the same points.
    """
    from scipy.stats import qmc  # heavy, and plugins import this module

    sequence = qmc.Halton(d=len(space), scramble=False)
    sequence.fast_forward(1)  # past the corner
    shares = sequence.random(count)
    return [
        {name: values.at(float(share)) for (name, values), share in zip(space.items(), row, strict=True)}
        for row in shares
    ]
