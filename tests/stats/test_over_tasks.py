"""Differences in the mean over tasks: scipy, a table worked by hand, and what must not change the answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.stats.multiple import holm
from bench.stats.over_tasks import OverTasks, Task
from bench.stats.paired import Sample, compare_all


def by_seed(table: dict[str, list[float]], weight: float = 1.0) -> Task[str]:
    return Task(list(table), compare_all([Sample(dict(enumerate(scores))) for scores in table.values()]), weight)


ONE = {"a": [0.9, 0.8, 0.7], "b": [0.5, 0.5, 0.5], "c": [0.4, 0.1, 0.1]}
TWO = {"c": [0.3, 0.3, 0.4], "a": [0.5, 0.7, 0.6], "b": [0.6, 0.6, 0.3]}


def test_one_task_is_that_tasks_comparison() -> None:
    over = OverTasks(["a", "b"], [by_seed(ONE)])
    expected = stats.ttest_rel(ONE["a"], ONE["b"])
    found = over.difference("a", "b", 1)
    assert found.p_value == found.p_holm == pytest.approx(expected.pvalue)
    assert found.difference == pytest.approx(0.3)
    assert found.half_width == pytest.approx(0.3 - expected.confidence_interval().low)


def test_two_tasks_by_hand() -> None:
    """a less b: 0.4, 0.3, 0.2 and -0.1, 0.1, 0.3: means 0.3 and 0.1, variances 0.01 and 0.04, each with 2 degrees."""
    over = OverTasks(["a", "b", "c"], [by_seed(ONE), by_seed(TWO)])
    error = math.sqrt((0.01 / 3 + 0.04 / 3) / 4)
    found = over.difference("a", "b", family=3)
    assert found.difference == pytest.approx(0.2)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.2 / error, 2))
    assert found.half_width == pytest.approx(stats.t.isf(0.05 / 6, 2) * error)
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    adjusted = holm([over.difference(*pair, 1).p_value or 0 for pair in pairs])
    assert over.adjusted == pytest.approx(dict(zip(pairs, adjusted, strict=True)))


def test_neither_the_order_nor_the_unit_changes_the_answer() -> None:
    expected = OverTasks("abc", [by_seed(ONE), by_seed(TWO)])
    swapped = OverTasks("cab", [by_seed({row: ONE[row] for row in "bca"}), by_seed(TWO)])
    percent = [by_seed({row: [-100 * score for score in scores] for row, scores in each.items()}, -0.01)
               for each in (ONE, TWO)]  # fmt: skip
    for first, second in (("a", "b"), ("c", "a"), ("b", "c")):
        for other in (swapped, OverTasks("abc", percent)):
            assert other.difference(first, second, 3) == pytest.approx(expected.difference(first, second, 3))
        turned = expected.difference(second, first, 3)
        assert turned.difference == -expected.difference(first, second, 3).difference
        assert turned[1:] == expected.difference(first, second, 3)[1:]


def test_simultaneous_intervals_agree_with_corrected_p_values() -> None:
    """Bonferroni's interval excludes 0 exactly where m times p is below 5 %."""
    draw = np.random.default_rng(1)
    tasks = [by_seed({row: draw.normal(0.3 * at, 0.3, 4).tolist() for at, row in enumerate("abcd")}) for _ in range(3)]
    over = OverTasks("abcd", tasks)
    for pair in over.adjusted:
        difference, half, p_value, _ = over.difference(*pair, 6)
        assert half is not None
        assert p_value is not None
        assert (abs(difference) > half) == (6 * p_value < 0.05)


def test_one_common_seed_on_a_task_allows_no_claim() -> None:
    over = OverTasks("abc", [by_seed(ONE), by_seed({"a": [0.5, 0.6], "b": [0.2, 0.3, 0.5], "c": [0.1]})])
    assert over.difference("a", "c", 3) == (pytest.approx((0.6 + 0.4) / 2), None, None, None)
    assert over.adjusted["b", "c"] == 1.0
    found = over.difference("a", "b", 3)
    assert found.p_holm == found.p_value  # the only one tested


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least one task"):
        OverTasks("ab", [])
    with pytest.raises(ValueError, match="d is not in every task"):
        OverTasks("ad", [by_seed(ONE)])
    assert OverTasks("a", [by_seed(ONE)]).adjusted == {}
