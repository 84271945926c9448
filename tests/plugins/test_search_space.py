"""Search spaces and the points that are tried of them."""

from __future__ import annotations

import math

import pytest

from bench.plugins import registry
from bench.plugins.recipe import Recipe
from bench.plugins.search_space import Log, OneOf, points, rates


def test_the_points_are_haltons_sequence() -> None:
    """In base 2 the first seven are the eighths, in base 3 the first eight the ninths (Halton 1960), worked by hand."""
    found = points({"learning_rate": Log(1.0, 1e8), "dropout": OneOf(*range(9))}, 7)
    assert [round(math.log10(point["learning_rate"])) for point in found] == [4, 2, 6, 1, 5, 3, 7]
    assert [point["dropout"] for point in found] == [3, 6, 1, 4, 7, 2, 5]


def test_more_points_begin_with_the_same_ones() -> None:
    space = rates(1e-4, 1e-2)
    assert points(space, 9)[:4] == points(space, 4)


def test_values_lie_within_the_space_and_are_short() -> None:
    for point in points(rates(3e-4, 3e-2), 50):
        assert 3e-4 <= point["learning_rate"] < 3e-2
        assert point["learning_rate"] == float(f"{point['learning_rate']:.2g}")
        assert point["dropout"] in (0.0, None)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (2.0, 1.0)])
def test_a_range_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="the first must be positive and less than the second"):
        Log(low, high)


def test_every_method_here_has_as_much_to_search_as_the_others() -> None:
    """Two decades of learning rates and the same choice of dropout: nobody's budget goes further."""
    for name, entry in registry.methods().found.items():
        space = entry.plugin.space
        assert set(space) == {"learning_rate", "dropout"}, name
        rate = space["learning_rate"]
        assert isinstance(rate, Log)
        assert rate.high / rate.low == pytest.approx(100), name
        assert space["dropout"] == OneOf(0.0, None), name
        for point in points(space, 3):
            Recipe(epochs=1, chosen_by="a test", **point)
