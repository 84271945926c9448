"""A test for differences whose variance is a sum of parts, each estimated with its own degrees of freedom.

t, the difference over its standard error, is compared with Student's quantiles at the degrees of freedom of each part,
weighted by the parts (Cochran and Cox, Experimental Designs, 1950; the COCHRAN option of SAS's PROC TTEST). The
p-value solves

    |t| = sum over parts of variance_part * t(1 - p / 2; freedom_part) / variance

The test is conservative. The more usual degrees of freedom of Welch and Satterthwaite are not where a part of large
weight has one or two of them, as with two or three seeds: in simulations their false alarm rate at 5 % is up to 13 and
8 %, that of this test 5.6 and 5 % (tests/stats/test_paired.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, nctdtrinc, stdtr, stdtridf, stdtrit

from bench.stats import ALPHA

Floats = NDArray[np.float64]
Number = TypeVar("Number", float, Floats)

POWER = 0.8
SMALLEST_P = 1e-200  # smaller p-values are set to this
MOST_STEPS = 100  # bisection alone would need fewer


class Part(NamedTuple):
    """One source of variance of each difference, and the degrees of freedom of its estimate: [differences] each.

    Where a difference lacks this source the variance is 0, and the freedom any number above 0.
    """

    variance: Floats
    freedom: Floats


class CombinedTest:
    """The test of many differences, each on its own. error: their standard errors, [differences].

    Results for a difference with an error of 0 are meaningless.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        variance = np.sum([part.variance for part in parts], axis=0)
        self.error: Floats = np.sqrt(variance)
        whole = np.where(variance > 0, variance, 1.0)
        self._weights = [(part.variance / whole, part.freedom) for part in parts]

    def p_values(self, differences: Floats) -> Floats:
        """Two-sided, to at least seven digits, never below SMALLEST_P: [differences]."""
        t = np.abs(differences) / np.where(self.error > 0, self.error, 1.0)
        smallest = math.log(SMALLEST_P)
        # A weighted mean of quantiles lies between them, so the p-value lies between those of the parts alone.
        alone = [
            np.where(weight > 0, np.log(np.maximum(2 * stdtr(freedom, -t), SMALLEST_P)), np.nan)
            for weight, freedom in self._weights
        ]
        low, high = np.fmin.reduce(alone), np.fmax.reduce(alone)
        log_p = (low + high) / 2
        busy = np.flatnonzero((high > low) & (t > 0))
        for _ in range(MOST_STEPS):
            if not len(busy):
                break
            at = log_p[busy]
            value, slope = self._log_quantile(at, busy)
            excess = value - np.log(t[busy])  # above 0: the p-value is larger than this
            low[busy], high[busy] = np.where(excess > 0, at, low[busy]), np.where(excess > 0, high[busy], at)
            step = at - excess / slope
            done = np.abs(step - at) <= 1e-10 * np.maximum(1, np.abs(at))  # the next step would be its square
            inside = (step > low[busy]) & (step < high[busy])
            log_p[busy] = np.where(done | inside, step, (low[busy] + high[busy]) / 2)
            busy = busy[~done]
        return np.where(log_p <= smallest, SMALLEST_P, np.exp(log_p))

    def half_widths(self, family: int = 1) -> Floats:
        """Half of the differences' 95 % intervals, simultaneous for so many (Bonferroni): [differences]."""
        return self.error * self._quantile(ALPHA / family)

    def minimum_detectable(self, family: int = 1) -> Floats:
        """The true differences that this test detects with a power of POWER, corrected for so many (Bonferroni).

        Holm's correction detects at least these: [differences].
        """
        # At these degrees of freedom Student's t has the same quantile at alpha.
        alpha = ALPHA / family
        wanted, free = self._quantile(alpha), [freedom for weight, freedom in self._weights]
        used = [np.where(weight > 0, freedom, np.nan) for weight, freedom in self._weights]
        low, high = np.fmin.reduce(used), np.fmax.reduce(used)
        freedom = np.where(high > low, stdtridf(1 - alpha / 2, wanted), np.where(np.isnan(low), free[0], low))
        return minimum_detectable(self.error, np.clip(freedom, low, high), alpha)

    def _quantile(self, alpha: float) -> Floats:
        """Student's two-sided quantile at each part's degrees of freedom, averaged by the parts' weights."""
        found: Floats = -np.sum([weight * stdtrit(freedom, alpha / 2) for weight, freedom in self._weights], axis=0)
        return found

    def _log_quantile(self, log_p: Floats, which: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """The logarithm of the averaged quantile at these p-values, and its slope over log p."""
        p_values = np.exp(log_p)
        total, slope = np.zeros(len(which)), np.zeros(len(which))
        for weights, freedoms in self._weights:
            weight, free = weights[which], freedoms[which]
            quantile = -stdtrit(free, p_values / 2)
            log_density = (
                gammaln((free + 1) / 2) - gammaln(free / 2) - np.log(free * np.pi) / 2
                - (free + 1) / 2 * np.log1p(quantile**2 / free)
            )  # fmt: skip
            total += weight * quantile
            # The area beyond the quantile is p / 2, so it falls by 1 / (2 density) where p rises by 1.
            slope -= weight * np.exp(log_p - math.log(2) - log_density)
        return np.log(total), slope / total


def minimum_detectable(error: Number, freedom: Number, alpha: float = ALPHA) -> Number:
    """The true difference that a two-sided t-test at `alpha` detects with a power of POWER, in the unit of `error`.

    error: the standard error of the estimated difference. freedom: its degrees of freedom. Numbers or arrays.
    """
    # Rounded, so that the pairs of a table share a few values.
    each, which = np.unique(np.round(freedom, 2), return_inverse=True)
    in_errors = nctdtrinc(each, 1 - POWER, -stdtrit(each, alpha / 2))[which].reshape(np.shape(freedom))
    found: Number = error * (in_errors if np.ndim(freedom) else float(in_errors))
    return found
