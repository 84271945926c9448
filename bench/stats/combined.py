"""A difference whose variance is a sum of parts, each known from few or many observations: is it zero?

The difference over the root of the summed variance, t, is held to Student's quantiles at the degrees of freedom of each
part, weighted by the parts (Cochran and Cox, Experimental Designs, 1950; the COCHRAN option of SAS's PROC TTEST):
the p-value is where

    |t| = sum over parts of variance_part * t(1 - p / 2; freedom_part) / variance

It errs on the side of seeing no difference. The more usual degrees of freedom of Welch and Satterthwaite see too many
where a part that weighs much has one or two degrees of freedom, as two or three seeds give it: by simulation up to
13 and 8 % of false alarms at 5 %, this test 5.6 and 5 % (tests/stats/test_paired.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from bench.stats import ALPHA
from bench.stats.power import minimum_detectable

SMALLEST_P = 1e-200  # what is smaller is as good as this


class Part(NamedTuple):
    """One source of variance of the difference, and the degrees of freedom of its estimate."""

    variance: float
    freedom: float


class CombinedTest:
    """The test for one difference's variance. error: the difference's standard error."""

    def __init__(self, parts: Sequence[Part]) -> None:
        variance = sum(part.variance for part in parts)
        self.error = math.sqrt(variance)
        self._weights = [(part.variance / variance, part.freedom) for part in parts if part.variance > 0]

    def p_value(self, difference: float) -> float:
        """Two-sided; to seven digits, and never below SMALLEST_P."""
        from scipy.optimize import brentq

        t = abs(difference) / self.error
        if t == 0:
            return 1.0
        if t >= self._quantile(SMALLEST_P):
            return SMALLEST_P
        log_p = brentq(lambda log: self._quantile(math.exp(log)) - t, math.log(SMALLEST_P), 0, xtol=1e-8)
        return float(math.exp(log_p))

    def half_width(self) -> float:
        """Half of the difference's 95 % interval."""
        return self.error * self._quantile(ALPHA)

    def minimum_detectable(self) -> float:
        """The true difference that this test finds with a chance of bench.stats.power.POWER."""
        return minimum_detectable(self.error, self._equivalent_freedom())

    def _quantile(self, p_value: float) -> float:
        """Student's two-sided quantile at each part's degrees of freedom, averaged by the parts' weights."""
        from scipy.special import stdtrit

        return -sum(weight * float(stdtrit(freedom, p_value / 2)) for weight, freedom in self._weights)

    def _equivalent_freedom(self) -> float:
        """The degrees of freedom at which Student's t has the same quantile at ALPHA."""
        from scipy.optimize import brentq
        from scipy.special import stdtrit

        wanted, free = self._quantile(ALPHA), [freedom for _, freedom in self._weights]
        if max(free) == min(free):
            return free[0]
        return float(brentq(lambda each: -stdtrit(each, ALPHA / 2) - wanted, min(free), max(free), xtol=1e-3))
