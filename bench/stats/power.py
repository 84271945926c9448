"""How large a difference must be to be found."""

from __future__ import annotations

from functools import cache

from bench.stats import ALPHA

POWER = 0.8


def power(effect: float, error: float, freedom: float) -> float:
    """The chance that a two-sided t-test at ALPHA finds a true difference of `effect`, in its right direction.

    error: standard error of the estimated difference, in the same unit. freedom: its degrees of freedom.
    """
    from scipy import stats

    critical = stats.t.ppf(1 - ALPHA / 2, freedom)
    return float(stats.nct.sf(critical, freedom, abs(effect) / error))


def minimum_detectable(error: float, freedom: float) -> float:
    """The true difference that is found with a chance of POWER, in the unit of `error`."""
    return error * _minimum_in_errors(round(freedom, 2))


@cache
def _minimum_in_errors(freedom: float) -> float:
    from scipy import stats
    from scipy.optimize import brentq

    # Without the t's own uncertainty the answer is the sum of two quantiles; with it, a little more.
    high = 2 * float(stats.t.ppf(1 - ALPHA / 2, freedom) + stats.t.ppf(POWER, freedom))
    return float(brentq(lambda effect: power(effect, 1.0, freedom) - POWER, 0.0, high))
