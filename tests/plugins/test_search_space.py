"""Search spaces: what may be declared, and that those here hold the rates that were published."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from bench.plugins import registry
from bench.plugins.search_space import Space, rates

DOCS = Path(__file__).parents[2] / "docs" / "tuning.md"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"low": 1e-2, "high": 1e-2}, "the first must be less than the second"),
        ({"low": 0.0, "high": 1e-2}, "both between 1e-07 and 1"),
        ({"low": 1e-2, "high": 3.0}, "both between 1e-07 and 1"),
        ({"low": 1e-3, "high": 1e-2, "published": (1e-4,)}, "the published rate 0.0001 is not between"),
        ({"low": 1e-3, "high": 1e-2, "options": {"learning": (1,)}}, "'learning' is no setting"),
        ({"low": 1e-3, "high": 1e-2, "options": {"epochs": (1,)}}, "'epochs' is no setting"),
        ({"low": 1e-3, "high": 1e-2, "options": {"dropout": (1.0,)}}, "no recipe can have: dropout"),
    ],
)
def test_what_cannot_be_searched_is_refused(arguments: dict[str, float], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        rates(**arguments)  # type: ignore[arg-type]


def test_rates_are_two_digits_evenly_apart_and_go_beyond_the_range_as_far_as_makes_sense() -> None:
    space = rates(2.5e-4, 6.3e-2)
    assert space.steps(6) == 6
    found = [space.rate(at, 6) for at in range(8)]
    assert found == [2.5e-4, 6.3e-4, 1.6e-3, 4e-3, 1e-2, 2.5e-2, 6.3e-2, 0.16]
    assert [rates(1e-2, 1.0).rate(at, 5) for at in (5, 6)] == [1.0, None]


def test_every_method_here_says_where_its_rates_are_from_and_none_has_a_shorter_range() -> None:
    """The published rates lie within the range, or the space would have been refused."""
    for name, entry in registry.methods().found.items():
        space = entry.plugin.space
        assert isinstance(space, Space), name
        assert space.source, name
        assert bool(space.published) == ("this project" not in space.source), name
        assert math.log10(space.high / space.low) > 1.99, name


def test_the_documentation_has_these_ranges_and_sources() -> None:
    page = DOCS.read_text(encoding="utf-8")
    for name, entry in registry.methods().found.items():
        space = entry.plugin.space
        assert f"| `{name}` | {space.low:g} to {space.high:g} | {space.source} |" in page
