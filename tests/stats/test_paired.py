"""Two methods on one task: against scipy and McNemar, by hand, and the error rates by simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar

from bench.stats.moderation import fit_prior
from bench.stats.multiple import holm
from bench.stats.paired import Comparison, Sample, compare_all, compare_samples

SCORES = st.floats(-1, 1, allow_nan=False).map(lambda score: round(score, 6))


def seeded(*scores: float) -> Sample:
    return Sample(dict(enumerate(scores)))


def answered(right: Sequence[Sequence[float]]) -> Sample:
    """A method that was right (1) or wrong (0) on each example: [seeds, examples]."""
    rows = np.asarray(right, dtype=float)
    return Sample({seed: float(row.mean()) for seed, row in enumerate(rows)}, dict(enumerate(rows)))


def found(first: Sample, second: Sample) -> Comparison:
    result = compare_samples(first, second)
    assert result is not None
    return result


def p_of(first: Sample, second: Sample) -> float:
    p = found(first, second).p_value
    assert p is not None
    return p


def most(rate: float, runs: int) -> float:
    """A rate that one of so many runs stays below, but for four standard errors."""
    return rate + 4 * math.sqrt(rate * (1 - rate) / runs)


# By seed


@settings(max_examples=50)
@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=10))
def test_over_seeds_alone_it_is_scipys_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    first, second = (seeded(*column) for column in zip(*pairs, strict=True))
    result = found(first, second)
    if np.std([a - b for a, b in pairs], ddof=1) > 1e-6:
        expected = stats.ttest_rel(list(first.scores.values()), list(second.scores.values()))
        assert result.p_value == pytest.approx(expected.pvalue, rel=1e-6)
        assert (result.ci95_low, result.ci95_high) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-9)
    swapped = found(second, first)
    assert swapped.difference == pytest.approx(-result.difference)
    assert swapped.p_value == pytest.approx(result.p_value)


def test_pairs_are_by_seed() -> None:
    result = found(Sample({0: 0.9, 1: 0.8, 5: 0.1}), Sample({5: 0.0, 1: 0.5, 7: 0.3}))
    assert result.p_value == pytest.approx(stats.ttest_rel([0.8, 0.1], [0.5, 0.0]).pvalue)
    assert (result.n_seeds, result.n_examples) == (2, None)
    assert compare_samples(Sample({0: 0.9}), Sample({1: 0.9})) is None
    assert found(seeded(0.9), seeded(0.1)) == Comparison(0.8, None, None, None, 1, None, None)


@pytest.mark.parametrize(("seeds", "p"), [(2, 0.5), (3, 0.25), (6, 2 / 2**6)])
def test_differences_without_spread_get_a_sign_test(seeds: int, p: float) -> None:
    """Two seeds of a small test set often differ equally by chance, which to a t-test is no noise at all."""
    first = seeded(*(0.1 * seed + 0.3 for seed in range(seeds)))  # equal but for rounding: 0.4 - 0.1 is not 0.3
    assert p_of(first, seeded(*(0.1 * seed for seed in range(seeds)))) == p
    for same in (seeded(0.1, 0.2), answered([[1, 0, 1], [0, 1, 1]])):
        assert p_of(same, same) == 1.0


# By example


def test_over_examples_alone_it_is_mcnemars_test() -> None:
    """One seed and accuracy: the t-test's statistic is McNemar's, but for the variance under no difference."""
    right = np.random.default_rng(0).random((2, 2000)) < [[0.82], [0.80]]
    result = found(answered(right[:1]), answered(right[1:]))
    table = [[np.sum((right[0] == a) & (right[1] == b)) for b in (1, 0)] for a in (1, 0)]
    assert result.p_value == pytest.approx(mcnemar(table, exact=False, correction=False).pvalue, rel=0.02)
    expected = stats.ttest_rel(right[0].astype(float), right[1].astype(float))
    assert result.p_value == pytest.approx(expected.pvalue)
    assert (result.ci95_low, result.ci95_high) == pytest.approx(tuple(expected.confidence_interval()))
    assert (result.n_seeds, result.n_examples) == (1, 2000)


def test_seeds_and_examples_by_hand() -> None:
    # Over seeds: 0.5 and 0.25, variance 0.03125, of the mean 0.015625, 1 degree of freedom. Over examples: 1, 0, 0.5
    # and 0, variance 0.22917, of the mean 0.057292, 3 degrees. Interaction: residuals of 1/8, 1/8, 3/8 and 1/8 at both
    # seeds, sum of squares 0.375, mean square 0.125, of the mean 0.015625, which leaves the examples 0.041667.
    # Together 0.057292, weights 0.27273 and 0.72727.
    result = found(answered([[1, 1, 1, 0], [1, 1, 0, 0]]), answered([[0, 1, 0, 0], [0, 1, 0, 0]]))
    error, quantile = math.sqrt(0.0572917), 0.2727273 * 12.7062 + 0.7272727 * 3.18245
    assert result.difference == 0.375
    assert result.ci95_high == pytest.approx(0.375 + quantile * error, rel=1e-5)
    assert result.p_value is not None
    weighted = sum(
        weight * stats.t.isf(result.p_value / 2, freedom) for weight, freedom in ((0.2727273, 1), (0.7272727, 3))
    )
    assert weighted == pytest.approx(0.375 / error, rel=1e-5)
    assert result.minimum_detectable is not None
    assert result.minimum_detectable > quantile * error  # one of that size is detected with 50 % power


def anova(first: Sample, second: Sample) -> tuple[float, float, float]:
    """The mean squares of seeds, examples and interaction that statsmodels finds in the differences."""
    apart = np.array([first.per_example[seed] - second.per_example[seed] for seed in first.per_example])  # type: ignore[index,union-attr]
    seeds, examples = np.indices(apart.shape)
    frame = pd.DataFrame({"d": apart.ravel(), "seed": seeds.ravel(), "example": examples.ravel()})
    table = anova_lm(ols("d ~ C(seed) + C(example)", frame).fit())
    return tuple(table["sum_sq"] / table["df"])


def test_the_interaction_counts_once_as_in_an_analysis_of_variance() -> None:
    draw = np.random.default_rng(5)
    first, second = (answered(draw.random((4, 30)) < rate + draw.normal(0, 0.2, 30)) for rate in (0.7, 0.5))
    of_seeds, of_examples, interaction = anova(first, second)
    compared = compare_all([first, second])
    seeds, examples = compared.parts
    assert 120 * seeds.variance[0] == pytest.approx(of_seeds)
    assert 120 * examples.variance[0] == pytest.approx(of_examples - interaction)
    assert 120 * compared.interaction[0] == pytest.approx(interaction)
    nothing = answered(draw.random((4, 30)) < 0.5)  # no example is easier than another
    assert (compare_all([nothing, answered(draw.random((4, 30)) < 0.5), first]).parts[1].variance >= 0).all()


def test_three_samples_share_what_is_known_of_seeds_and_two_do_not() -> None:
    draw = np.random.default_rng(6)
    several = [answered(draw.random((3, 200)) < 0.8) for _ in range(3)]
    together = compare_all(several)
    prior = fit_prior(np.array([np.var(list(each.scores.values()), ddof=1) for each in several]), np.full(3, 2))
    alone = compare_all(several[:2]).parts[0]
    expected = (prior.freedom[0] * 2 * prior.variance / 3 + 2 * alone.variance[0]) / (prior.freedom[0] + 2)
    assert prior.freedom[0] == prior.freedom[1] > 1
    assert together.parts[0].variance[0] == pytest.approx(expected)
    assert together.parts[0].freedom[0] == prior.freedom[0] + 2
    assert alone.freedom[0] == 2
    by_seed = compare_all([Sample(each.scores) for each in several])
    assert by_seed[0] == compare_samples(Sample(several[0].scores), Sample(several[1].scores))


def test_what_a_seed_does_to_all_methods_alike_does_not_count() -> None:
    """Differences are the same with a lucky seed for everybody; so is nearly what is usual among the methods."""
    draw = np.random.default_rng(9)
    shares = draw.normal(0.5, 0.1, (9, 4, 300)) + draw.normal(0, 0.01, (9, 4, 1))
    lucky = draw.normal(0, 1, (4, 1))
    alone, together = (
        compare_all([Sample(dict(enumerate(map(np.mean, each))), dict(enumerate(each))) for each in made])
        for made in (shares, shares + lucky)
    )
    assert alone.parts[0].freedom.min() > 10
    for part, same in zip(alone.parts, together.parts, strict=True):
        np.testing.assert_allclose(part.variance, same.variance, rtol=1e-6)
        np.testing.assert_allclose(part.freedom, same.freedom, rtol=1e-6)
    # Each method's own variance: 0.01^2, and 0.1^2 over 300 examples.
    assert np.median(alone.parts[0].variance) == pytest.approx(2 * (0.01**2 + 0.1**2 / 300) / 4, rel=0.5)


def test_what_is_detectable_after_correction() -> None:
    draw = np.random.default_rng(7)
    compared = compare_all([answered(draw.random((3, 200)) < 0.8) for _ in range(4)])
    one, six = compared.minimum_detectable(1), compared.minimum_detectable(6)
    assert one[0] == compared[0].minimum_detectable  # type: ignore[union-attr]
    assert (six > one).all()
    assert np.isnan(compare_all([seeded(0.5), seeded(0.6)]).minimum_detectable(1)).all()


@pytest.mark.parametrize("effect", [1e-9, 0.01, 0.3, 1.0])
def test_interval_and_p_value_agree(effect: float) -> None:
    draw = np.random.default_rng(2)
    for _ in range(20):
        result = found(answered(draw.random((3, 50)) < 0.5 + effect / 3), answered(draw.random((3, 50)) < 0.5))
        assert result.p_value is not None
        assert result.ci95_low is not None
        assert result.ci95_high is not None
        assert (result.p_value < 0.05) == (not result.ci95_low <= 0 <= result.ci95_high)


def test_the_same_lucky_examples_at_every_seed_are_no_proof() -> None:
    """Two methods, each the same at all seeds, apart by three of 100 examples: over seeds alone they differ."""
    first, second = np.ones((5, 100)), np.ones((5, 100))
    first[:, :2], second[:, :5] = 0, 0
    jitter = (0.001, 0.0, -0.001, 0.0, 0.0)
    alone = [seeded(*(row.mean() + more for row, more in zip(rows, jitter, strict=True))) for rows in (first, second)]
    assert p_of(*alone) < 0.1
    p = p_of(answered(first), answered(second))
    assert p == pytest.approx(2 * stats.t.sf(math.sqrt(99) * 0.03 / math.sqrt(0.03 - 0.0009), 99))
    assert p > 0.05


# Error rates and power


def population(
    draw: np.random.Generator, methods: int, seeds: int, examples: int, effects: Sequence[float] = ()
) -> list[Sample]:
    """Methods that are equally good on all texts there are, but for `effects`, on a sample of these.

    Examples are easy or hard, other ones for each method; seeds differ in luck, and on the borderline examples.
    """
    easy = draw.normal(1.2, 1.2, examples)
    made = []
    for method in range(methods):
        own = easy + draw.normal(0, 0.7, examples) + (effects[method] if method < len(effects) else 0)
        luck = draw.normal(0, 0.1, (seeds, 1)) + draw.normal(0, 0.5, (seeds, examples))
        made.append(answered(own + luck > 0))
    return made


@pytest.mark.parametrize(("seeds", "examples"), [(2, 12), (3, 40), (5, 400)])
def test_false_alarms_are_at_most_five_percent(seeds: int, examples: int) -> None:
    draw, runs = np.random.default_rng(seeds * examples), 1000
    assert sum(p_of(*population(draw, 2, seeds, examples)) < 0.05 for _ in range(runs)) <= runs * most(0.05, runs)


def test_a_difference_of_the_minimum_detectable_size_is_detected_as_often_as_stated() -> None:
    draw, runs = np.random.default_rng(10), 400
    results = [found(*population(draw, 2, 3, 400, (0.5,))) for _ in range(runs)]  # some eight points of accuracy
    true = float(np.mean([result.difference for result in results]))
    stated = float(np.mean([result.minimum_detectable or np.nan for result in results]))
    assert true == pytest.approx(stated, rel=0.25)  # so that the rate below should be near 80 %
    assert 0.6 < float(np.mean([(result.p_value or 0) < 0.05 for result in results])) < 0.98


def separated(effect: float, runs: int, draw: np.random.Generator) -> float:
    """How often a leaderboard of four methods, five seeds of standard deviation 1, separates the first from another."""
    count = 0
    for table in draw.normal(80, 1, (runs, 4, 5)):
        table[0] += effect
        rows = [seeded(*map(float, row)) for row in table]
        pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
        adjusted = dict(zip(pairs, holm([p_of(rows[a], rows[b]) for a, b in pairs]), strict=True))
        count += any(p < 0.05 for (a, _), p in adjusted.items() if a == 0)
    return count / runs


@pytest.mark.slow
def test_two_points_and_five_seeds_over_a_thousand_leaderboards() -> None:
    """+2 points, standard deviation 1, five seeds: found against the power that statsmodels states for one pair.

    One pair: 0.6 (d = sqrt 2). Any of three pairs of a board, corrected for six: less of each, but three chances.
    """
    from statsmodels.stats.power import TTestPower

    draw = np.random.default_rng(11)
    assert separated(0.0, 1000, draw) <= most(0.05, 1000)
    stated = TTestPower().power(2 / math.sqrt(2), 5, 0.05)
    shifted = draw.normal(0, 1, (1000, 2, 5)) + np.array([[2.0], [0.0]])
    rate = np.mean([p_of(*(seeded(*map(float, row)) for row in pair)) < 0.05 for pair in shifted])
    assert rate == pytest.approx(stated, abs=4 * math.sqrt(stated * (1 - stated) / 1000))
    assert separated(2.0, 1000, draw) > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_false_alarms_whatever_share_of_the_variance_is_the_seeds(seeds: int, share: float) -> None:
    """At most 5 %, with two seeds at most 6; normal scores, 400 examples.

    Here Welch-Satterthwaite degrees of freedom fail: 13 % for two seeds and a share of 0.9.
    """
    draw, runs, false = np.random.default_rng(seeds), 800, 0
    for _ in range(runs):
        shift = draw.normal(0, math.sqrt(1 - share))  # of this test set, the same for all seeds
        scores = shift + draw.normal(0, math.sqrt(share * seeds), seeds)
        spread = draw.normal(0, math.sqrt((1 - share) * 400), 400)
        per_example = {seed: spread - spread.mean() + float(score) for seed, score in enumerate(scores)}
        first = Sample(dict(enumerate(map(float, scores))), per_example)
        nothing = Sample(dict.fromkeys(range(seeds), 0.0), {seed: np.zeros(400) for seed in range(seeds)})
        false += p_of(first, nothing) < 0.05
    assert false <= runs * most(0.06 if seeds == 2 else 0.05, runs)
