"""Average ranks of methods over tasks, and the difference that makes two of them significantly different."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

import numpy as np
from scipy import stats

from bench.stats import ALPHA

T = TypeVar("T")


@dataclass(frozen=True)
class AverageRanks(Generic[T]):
    """Average ranks over tasks (Demsar, JMLR 2006).

    ranks: by row, 1 the best; ties share the mean of their ranks. critical_difference: average ranks must differ by
    more to be significantly different at 5 % (Nemenyi's test). friedman_p: of all rows being equal; None for two rows,
    for which that test is undefined.
    """

    ranks: dict[T, float]
    tasks: int
    critical_difference: float
    friedman_p: float | None


def average_ranks(scores: Mapping[str, Mapping[T, float]]) -> AverageRanks[T] | None:
    """Rank rows by their scores (higher is better) on each task.

    Only rows with a score on every task are ranked. None for fewer than two such rows, or fewer than two tasks.

    Args:
        scores: score by row, by task.
    """
    rows = [row for row in next(iter(scores.values()), {}) if all(row in each for each in scores.values())]
    if len(scores) < 2 or len(rows) < 2:
        return None
    table = np.array([[-by_row[row] for row in rows] for by_row in scores.values()])
    ranks = np.apply_along_axis(stats.rankdata, 1, table)
    friedman = None
    if len(rows) > 2:
        all_tied = bool((np.ptp(table, axis=1) == 0).all())  # the test's own formula would be 0 / 0
        friedman = 1.0 if all_tied else float(stats.friedmanchisquare(*table.T).pvalue)
    means = dict(zip(rows, map(float, ranks.mean(axis=0)), strict=True))
    return AverageRanks(means, len(scores), critical_difference(len(rows), len(scores)), friedman)


@cache
def critical_difference(rows: int, tasks: int) -> float:
    """Nemenyi's critical difference of average ranks at ALPHA (Demsar, JMLR 2006, section 3.2.2)."""
    quantile = stats.studentized_range.ppf(1 - ALPHA, rows, math.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(rows * (rows + 1) / (6 * tasks)))
