"""Corrections for many comparisons, letters and groups."""

from __future__ import annotations

from itertools import combinations
from string import ascii_lowercase

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from bench.stats.multiple import holm, letters, rank_groups


def test_holm_by_hand() -> None:
    # 4 x 0.01, 3 x 0.02 = 0.06, 2 x 0.03 = 0.06, 1 x 0.04 raised to 0.06; then put back in the order given.
    assert holm([0.02, 0.01, 0.04, 0.03]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_is_statsmodels() -> None:
    draw = np.random.default_rng(0)
    for p_values in ([0.5], [0.03, 0.03, 0.001], [1.0, 0.0, 0.2], *(draw.random(8) ** 3 for _ in range(5))):
        assert holm(list(p_values)) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_groups_by_hand() -> None:
    """b is not apart from a, nor c from b; but c is from a, and so leads the next group, with d."""
    apart = {("a", "c"), ("a", "d"), ("b", "d")}
    adjusted = {(x, y): 0.01 if (x, y) in apart else 0.2 for x in "abcd" for y in "abcd" if x < y}
    assert rank_groups("abcd", adjusted) == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert rank_groups("abcd", dict.fromkeys(adjusted, 0.001)) == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert rank_groups("abcd", dict.fromkeys(adjusted, 0.05)) == dict.fromkeys("abcd", 1)  # 0.05 is not below it
    assert rank_groups("", {}) == {}


def letters_of(rows: str, apart: set[tuple[str, str]]) -> dict[str, str]:
    return letters(rows, {pair: 0.01 if pair in apart else 0.2 for pair in combinations(rows, 2)})


def test_letters_by_hand() -> None:
    chain = {("P", "R"), ("P", "S"), ("Q", "S")}
    assert letters_of("PQRS", chain) == {"P": "a", "Q": "ab", "R": "bc", "S": "c"}
    assert letters_of("PQR", set()) == {"P": "a", "Q": "a", "R": "a"}
    # Q varies much: it is not apart from P and S, while R, whose mean is worse than Q's, is apart from P.
    assert letters_of("PQRS", {("P", "R"), ("P", "S"), ("R", "S")}) == {"P": "a", "Q": "abc", "R": "b", "S": "c"}
    assert letters("PQ", {("P", "Q"): 0.05}) == {"P": "a", "Q": "a"}  # 0.05 is not below it
    assert letters("", {}) == {}


def test_letters_after_z_are_separated() -> None:
    rows = [*range(27), "wild"]
    apart = {pair: 1.0 if "wild" in pair else 0.0 for pair in combinations(rows, 2)}
    found = letters(rows, apart)
    assert (found[0], found[25], found[26]) == ("a", "z", "aa")
    assert found["wild"].split() == [*ascii_lowercase, "aa"]


@given(st.integers(0, 9).flatmap(lambda n: st.lists(st.booleans(), min_size=n * (n - 1) // 2, max_size=n * (n - 1) // 2)
                                 .map(lambda apart: (n, apart))))  # fmt: skip
def test_letters_are_shared_exactly_where_rows_do_not_differ(board: tuple[int, list[bool]]) -> None:
    count, apart = board
    pairs = list(combinations(range(count), 2))
    found = letters(range(count), {pair: 0.0 if each else 1.0 for pair, each in zip(pairs, apart, strict=True)})
    for (a, b), differ in zip(pairs, apart, strict=True):
        assert bool(set(found[a]) & set(found[b])) != differ
    members = {name: {row for row in range(count) if name in found[row]} for name in set("".join(found.values()))}
    assert not any(a < b for a in members.values() for b in members.values())  # no letter that says nothing new
    named = [min(members[name]) for name in sorted(members)]
    assert named == sorted(named)
    assert not count or found[0].startswith("a")
