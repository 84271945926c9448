"""Minimum detectable differences against statsmodels, and by simulation."""

from __future__ import annotations

import math

import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from bench.stats.combined import POWER, minimum_detectable


@pytest.mark.parametrize("count", [3, 5, 30])
def test_the_minimum_detectable_effect_is_that_of_statsmodels(count: int) -> None:
    theirs = TTestPower().solve_power(nobs=count, alpha=0.05, power=0.8, alternative="two-sided")
    assert minimum_detectable(1 / math.sqrt(count), count - 1) == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("freedom", [1.0, 1.7, 4.0, 1e5])
def test_it_is_detected_with_the_stated_power_and_scales_with_the_error(freedom: float) -> None:
    found = minimum_detectable(0.01, freedom)
    assert minimum_detectable(1.0, freedom) == pytest.approx(100 * found, rel=1e-5)
    assert stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, found / 0.01) == pytest.approx(POWER, abs=1e-4)
