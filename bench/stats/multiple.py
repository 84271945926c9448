"""Multiple comparisons: correction of p-values, and letters that rows share where they do not differ significantly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from string import ascii_lowercase
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


def letters(rows: Sequence[T], adjusted: Mapping[tuple[T, T], float]) -> dict[T, str]:
    """Compact letter display: two rows share a letter exactly where they do not differ significantly.

    Insert and absorb (Piepho, Journal of Computational and Graphical Statistics, 2004). Letters are named in the order
    of the rows, so that the best has "a"; after "z" come "aa", "ab", ..., and then letters are separated by spaces.

    Args:
        rows: from best to worst.
        adjusted: corrected p by pair, the better row first.
    """
    columns = {frozenset(range(len(rows)))} if rows else set()
    for a, b in combinations(range(len(rows)), 2):
        if adjusted[rows[a], rows[b]] >= ALPHA:
            continue
        split = [column for column in columns if a in column and b in column]
        columns.difference_update(split)
        # Those that were not split are not within each other, nor within a half.
        halves = {column - {one} for column in split for one in (a, b)}
        columns |= {half for half in halves if not any(half < other for other in columns | halves)}
    ordered = sorted(map(sorted, columns))
    names = [_letter(at) for at in range(len(ordered))]
    space = " " if len(names) > len(ascii_lowercase) else ""
    return {
        row: space.join(name for name, column in zip(names, ordered, strict=True) if at in column)
        for at, row in enumerate(rows)
    }


def _letter(at: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    before, last = divmod(at, len(ascii_lowercase))
    return (_letter(before - 1) if before else "") + ascii_lowercase[last]


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
