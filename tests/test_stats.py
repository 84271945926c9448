"""From scores to claims, held to scipy, to numbers worked out by hand, and to what chance does."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.stats import Summary, holm, paired_p_value, rank_groups, summarise

SCORES = st.floats(-1, 1, allow_nan=False).map(lambda score: round(score, 6))
P_VALUES = st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=8)


def seeded(*scores: float) -> dict[int, float]:
    return dict(enumerate(scores))


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


def test_the_summary_by_hand() -> None:
    found = summarise([0.7, 0.8, 0.9])
    half = 4.302652729911275 * 0.1 / math.sqrt(3)  # the 97.5 % point of Student's t with two degrees of freedom
    assert found == Summary(
        pytest.approx(0.8), pytest.approx(0.1), pytest.approx(0.8 - half), pytest.approx(0.8 + half)
    )


def test_one_seed_makes_no_claim_and_none_says_nothing() -> None:
    assert summarise([0.8]) == Summary(0.8, None, None, None)
    assert summarise([]) is None


def test_seeds_that_agree_have_no_spread() -> None:
    assert summarise([0.5, 0.5]) == Summary(0.5, 0.0, 0.5, 0.5)


# Pairs


@settings(max_examples=50)
@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=10))
def test_the_paired_p_value_is_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = (dict(enumerate(column)) for column in zip(*pairs, strict=True))
    differences = [a - b for a, b in pairs]
    if statistics.stdev(differences) > 1e-6:
        expected = stats.ttest_rel(list(first.values()), list(second.values())).pvalue
        assert paired_p_value(first, second) == pytest.approx(expected, rel=1e-6)
    assert paired_p_value(first, second) == paired_p_value(second, first)


def test_pairs_are_by_seed_and_need_two() -> None:
    first, second = {0: 0.9, 1: 0.8, 5: 0.1}, {5: 0.0, 1: 0.5, 7: 0.3}
    expected = stats.ttest_rel([0.8, 0.1], [0.5, 0.0]).pvalue
    assert paired_p_value(first, second) == pytest.approx(expected)
    assert paired_p_value({0: 0.9, 1: 0.9}, {1: 0.1, 2: 0.1}) == 1.0
    assert paired_p_value({}, {}) == 1.0


@pytest.mark.parametrize(("seeds", "p"), [(2, 0.5), (3, 0.25), (6, 2 / 2**6)])
def test_differences_all_alike_are_no_proof(seeds: int, p: float) -> None:
    """Two seeds of a small test set are often equally far apart by chance, and show a t-test no noise at all."""
    first = {seed: 0.1 * seed + 0.3 for seed in range(seeds)}  # not exactly alike: 0.4 - 0.1 is not 0.3
    second = {seed: 0.1 * seed for seed in range(seeds)}
    assert paired_p_value(first, second) == p


def test_the_same_scores_are_no_difference() -> None:
    assert paired_p_value(seeded(0.1, 0.2), seeded(0.1, 0.2)) == 1.0


# Many comparisons


def test_holm_by_hand() -> None:
    # 4 x 0.01, 3 x 0.02 = 0.06, 2 x 0.03 = 0.06, 1 x 0.04 raised to 0.06; then put back in the order given.
    assert holm([0.02, 0.01, 0.04, 0.03]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@settings(max_examples=50)
@given(P_VALUES)
def test_holm_lies_between_no_correction_and_bonferronis(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= min(1.0, p * len(p_values)) + 1e-12
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[at] for at in order] == sorted(adjusted)


# Groups

CLEAR = {"a": seeded(0.90, 0.91, 0.92, 0.905), "b": seeded(0.50, 0.52, 0.51, 0.515), "c": seeded(0.1, 0.11, 0.12, 0.13)}


def test_clear_differences_make_groups() -> None:
    assert rank_groups(CLEAR) == {"a": 1, "b": 2, "c": 3}
    assert rank_groups(CLEAR, higher_is_better=False) == {"c": 1, "b": 2, "a": 3}


def test_no_difference_makes_one_group() -> None:
    noisy = {"a": seeded(0.9, 0.5, 0.7), "b": seeded(0.6, 0.8, 0.7), "c": seeded(0.5, 0.6, 0.95)}
    assert set(rank_groups(noisy).values()) == {1}


def test_ties_share_a_group() -> None:
    assert rank_groups({"a": seeded(0.5, 0.5), "b": seeded(0.5, 0.5)}) == {"a": 1, "b": 1}


def test_a_row_near_the_best_shares_its_group_and_one_near_that_leads_the_next() -> None:
    rows = {
        "best": seeded(0.900, 0.912, 0.903, 0.909, 0.905),
        "near": seeded(0.903, 0.906, 0.907, 0.902, 0.908),
        "far": seeded(0.701, 0.709, 0.702, 0.711, 0.704),
        "nearly as far": seeded(0.705, 0.702, 0.708, 0.703, 0.707),
    }
    assert rank_groups(rows) == {"best": 1, "near": 1, "far": 2, "nearly as far": 2}


def test_one_seed_gets_no_group() -> None:
    assert rank_groups({**CLEAR, "single": {0: 0.99}, "none": {}}) == {"a": 1, "b": 2, "c": 3}
    assert rank_groups({}) == {}


def test_the_order_of_rows_does_not_matter() -> None:
    assert rank_groups(dict(reversed(CLEAR.items()))) == rank_groups(CLEAR)


@pytest.mark.parametrize(
    ("rows", "seeds", "test_examples"), [(4, 3, None), (2, 2, 12), (4, 2, 12), (4, 3, 40), (3, 5, 400)]
)
def test_chance_alone_seldom_makes_groups(rows: int, seeds: int, test_examples: int | None) -> None:
    """Boards of rows that are all as good: 5 % of them may look otherwise, and four standard errors more."""
    boards = 300
    draw = np.random.default_rng(7)
    if test_examples is None:
        scores = draw.normal(0.8, 0.02, (boards, rows, seeds))
    else:  # accuracies on a small test set are coarse, and coarse scores coincide
        scores = draw.binomial(test_examples, 0.8, (boards, rows, seeds)) / test_examples
    groups = [rank_groups({str(at): seeded(*map(float, row)) for at, row in enumerate(board)}) for board in scores]
    false = sum(max(group.values()) > 1 for group in groups)
    assert false <= boards * (0.05 + 4 * math.sqrt(0.05 * 0.95 / boards))


def test_a_real_difference_is_found() -> None:
    draw = np.random.default_rng(8)
    found = 0
    for _ in range(50):
        luck = draw.normal(0, 0.05, 5)  # shared by both at one seed, which is what pairing takes out
        first, second = (luck + shift + draw.normal(0, 0.005, 5) for shift in (0.82, 0.80))
        found += rank_groups({"a": seeded(*first), "b": seeded(*second)}) == {"a": 1, "b": 2}
    assert found >= 40
