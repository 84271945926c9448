"""The scores of several seeds: mean, spread and interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from bench.stats import ALPHA


@dataclass(frozen=True)
class Summary:
    """Scores over seeds. std is the sample's, the interval the mean's, 95 %, by Student's t; one seed has neither."""

    mean: float
    std: float | None
    ci95_low: float | None
    ci95_high: float | None


def summarise(scores: Sequence[float]) -> Summary | None:
    """Summary of one or more scores; None of none."""
    if not scores:
        return None
    mean = statistics.fmean(scores)
    if len(scores) == 1:
        return Summary(mean, None, None, None)
    std = statistics.stdev(scores)
    half = _quantile(len(scores) - 1) * std / math.sqrt(len(scores))
    return Summary(mean, std, mean - half, mean + half)


@cache
def _quantile(freedom: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(1 - ALPHA / 2, freedom))
