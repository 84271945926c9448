"""Mean, spread and interval of scores over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from scipy import stats

from bench.stats import ALPHA


@dataclass(frozen=True)
class Summary:
    """std: of the sample. ci95: of the mean, by Student's t. One seed has neither."""

    mean: float
    median: float
    std: float | None
    ci95_low: float | None
    ci95_high: float | None


def summarise(scores: Sequence[float]) -> Summary | None:
    """Summarise scores; None if there are none."""
    if not scores:
        return None
    mean, median = statistics.fmean(scores), statistics.median(scores)
    if len(scores) == 1:
        return Summary(mean, median, None, None, None)
    std = statistics.stdev(scores)
    half = _quantile(len(scores) - 1) * std / math.sqrt(len(scores))
    return Summary(mean, median, std, mean - half, mean + half)


def median_of_known(values: Sequence[float | int | None]) -> float | int | None:
    """The median without what is unknown; None if all is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    # The median of counts is one of them, so that it stays an integer.
    return statistics.median_low(known) if all(isinstance(value, int) for value in known) else statistics.median(known)


@cache
def _quantile(freedom: int) -> float:
    return float(stats.t.ppf(1 - ALPHA / 2, freedom))
