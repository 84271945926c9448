"""Average ranks over tasks: the published constants, scipy, and a table worked by hand."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from bench.stats.overall import average_ranks, critical_difference

# Critical values of Nemenyi's test at 0.05 for 2 to 10 classifiers: Demsar, JMLR 7 (2006), table 5 (a).
DEMSAR = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)


@pytest.mark.parametrize(("rows", "value"), list(enumerate(DEMSAR, start=2)))
def test_critical_differences_are_demsars(rows: int, value: float) -> None:
    for tasks in (1, 14):
        assert critical_difference(rows, tasks) == pytest.approx(value * math.sqrt(rows * (rows + 1) / 6 / tasks), 1e-3)


def test_ranks_by_hand() -> None:
    ranked = average_ranks({
        "one": {"a": 0.9, "b": 0.8, "c": 0.7},
        "two": {"a": 0.5, "b": 0.5, "c": 0.1},
        "three": {"a": -2.0, "b": -1.0, "c": -3.0},  # a lower-is-better score, its sign turned
    })  # fmt: skip
    assert ranked is not None
    assert ranked.ranks == pytest.approx({"a": (1 + 1.5 + 2) / 3, "b": (2 + 1.5 + 1) / 3, "c": 3.0})
    assert ranked.tasks == 3
    expected = stats.friedmanchisquare([0.9, 0.5, -2], [0.8, 0.5, -1], [0.7, 0.1, -3]).pvalue
    assert ranked.friedman_p == pytest.approx(expected)


@pytest.mark.parametrize("scores", [{}, {"one": {"a": 1.0, "b": 2.0}}, {"one": {"a": 1.0}, "two": {"a": 2.0}}])
def test_nothing_to_rank(scores: dict[str, dict[str, float]]) -> None:
    assert average_ranks(scores) is None


def test_ties_everywhere_are_no_difference() -> None:
    ranked = average_ranks({task: dict.fromkeys("abc", 0.5) for task in ("one", "two")})
    assert ranked is not None
    assert set(ranked.ranks.values()) == {2.0}
    assert ranked.friedman_p == 1.0
