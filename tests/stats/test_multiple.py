"""Corrections for many comparisons, and groups."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from bench.stats.multiple import holm, rank_groups


def test_holm_by_hand() -> None:
    # 4 x 0.01, 3 x 0.02 = 0.06, 2 x 0.03 = 0.06, 1 x 0.04 raised to 0.06; then put back in the order given.
    assert holm([0.02, 0.01, 0.04, 0.03]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_is_statsmodels() -> None:
    draw = np.random.default_rng(0)
    for p_values in ([0.5], [0.03, 0.03, 0.001], [1.0, 0.0, 0.2], *(draw.random(8) ** 3 for _ in range(5))):
        assert holm(list(p_values)) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_groups_by_hand() -> None:
    """b is not apart from a, nor c from b; but c is from a, and so leads the next group, with d."""
    apart = {("a", "c"), ("a", "d"), ("b", "d")}
    adjusted = {(x, y): 0.01 if (x, y) in apart else 0.2 for x in "abcd" for y in "abcd" if x < y}
    assert rank_groups("abcd", adjusted) == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert rank_groups("abcd", dict.fromkeys(adjusted, 0.001)) == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert rank_groups("abcd", dict.fromkeys(adjusted, 0.05)) == dict.fromkeys("abcd", 1)  # 0.05 is not below it
    assert rank_groups("", {}) == {}
