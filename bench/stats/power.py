"""How large a difference must be to be found."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.stats import ALPHA

POWER = 0.8
Number = TypeVar("Number", float, NDArray[np.float64])


def power(effect: float, error: float, freedom: float) -> float:
    """The chance that a two-sided t-test at ALPHA finds a true difference of `effect`, in its right direction.

    error: standard error of the estimated difference, in the same unit. freedom: its degrees of freedom.
    """
    from scipy import stats

    critical = stats.t.ppf(1 - ALPHA / 2, freedom)
    return float(stats.nct.sf(critical, freedom, abs(effect) / error))


def minimum_detectable(error: Number, freedom: Number) -> Number:
    """The true difference that is found with a chance of POWER, in the unit of `error`; numbers, or arrays of them."""
    from scipy.special import nctdtrinc, stdtrit

    # Rounded, so that the many pairs of a table share few answers.
    each, which = np.unique(np.round(freedom, 2), return_inverse=True)
    in_errors = nctdtrinc(each, 1 - POWER, -stdtrit(each, ALPHA / 2))[which].reshape(np.shape(freedom))
    found: Number = error * (in_errors if np.ndim(freedom) else float(in_errors))
    return found
