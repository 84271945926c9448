"""From scores to claims, held to scipy, to numbers worked out by hand, and to what chance does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.stats.summary import Summary, summarise

SCORES = st.floats(-1, 1, allow_nan=False).map(lambda score: round(score, 6))


# Mean, spread, interval


@settings(max_examples=50)
@given(st.lists(SCORES, min_size=2, max_size=12))
def test_the_summary_is_scipys(scores: list[float]) -> None:
    found = summarise(scores)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(scores), abs=1e-12)
    assert found.std == pytest.approx(np.std(scores, ddof=1), abs=1e-12)
    if found.std > 1e-9:
        low, high = stats.t.interval(0.95, len(scores) - 1, loc=np.mean(scores), scale=stats.sem(scores))
        assert (found.ci95_low, found.ci95_high) == pytest.approx((low, high), rel=1e-9, abs=1e-12)


def test_seeds_that_agree_have_no_spread() -> None:
    assert summarise([0.5, 0.5]) == Summary(0.5, 0.5, 0.0, 0.5, 0.5)
