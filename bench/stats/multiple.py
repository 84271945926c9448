"""Multiple comparisons: correction of p-values, and groups of rows that do not differ significantly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from bench.stats import ALPHA

T = TypeVar("T")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Scandinavian Journal of Statistics, 1979): adjusted p-values, in the order given."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = running
    return adjusted


def rank_groups(rows: Sequence[T], adjusted: Mapping[tuple[T, T], float]) -> dict[T, int]:
    """The group of each row, the best being 1.

    The best row leads group 1, which has every row that does not differ significantly from it. The best of the rest
    leads the next group.

    Args:
        rows: from best to worst.
        adjusted: corrected p by pair, the better row first.
    """
    groups: dict[T, int] = {}
    waiting, group = list(rows), 0
    while waiting:
        leader, group = waiting[0], group + 1
        groups |= {row: group for row in waiting if row == leader or adjusted[leader, row] >= ALPHA}
        waiting = [row for row in waiting if row not in groups]
    return groups
