"""Do two methods differ on a task? Paired by seed and by example.

A score moves for two reasons: with another seed the same method trains to other weights, and on other test examples
the same weights score otherwise. Seeds alone cannot show the second, since all of them are scored on the same
examples: two methods may be apart by the same lucky five examples at every seed. So the difference's variance is
the sum of both, each estimated from pairs, which takes out what both methods share (an easy example, a lucky order
of batches):

    variance = (variance of differences over seeds) / seeds + (variance of contributions' differences) / examples

and is tested as bench.stats.combined says. What varies with seed and example together enters both terms, so the test
errs on the side of seeing no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.stats.combined import CombinedTest, Part


@dataclass(frozen=True)
class Sample:
    """One method's results on one task: score by seed and, where they are known, contributions by seed.

    contributions: [examples] for each seed, the examples in the same order as those of whatever it is compared with.
    """

    scores: Mapping[int, float]
    contributions: Mapping[int, NDArray[np.float64]] | None = None


@dataclass(frozen=True)
class Comparison:
    """What the data say of first - second, in units of the score. None: the data cannot say.

    difference: mean over the seeds that both have. p_value: two-sided, not corrected for other comparisons.
    n_examples: None where only seeds were compared. minimum_detectable: the true difference that this
    comparison would have found with a chance of 80 %.
    """

    difference: float
    ci95_low: float | None
    ci95_high: float | None
    p_value: float | None
    n_seeds: int
    n_examples: int | None
    minimum_detectable: float | None


def compare_samples(first: Sample, second: Sample) -> Comparison | None:
    """Compare at the seeds that both have; None where there is no such seed.

    One seed says something of these two trainings on other examples, and nothing of other seeds: p_value
    then is by example alone, and whoever asks about the methods must look at n_seeds.
    """
    seeds = sorted(first.scores.keys() & second.scores.keys())
    if not seeds:
        return None
    differences = np.array([first.scores[seed] - second.scores[seed] for seed in seeds])
    difference = float(differences.mean())
    parts: list[Part] = []
    if len(seeds) > 1:
        parts.append(Part(_variance_of_mean(differences), len(seeds) - 1))
    by_example = _by_example(first, second, seeds)
    if by_example is not None:
        parts.append(Part(_variance_of_mean(by_example), len(by_example) - 1))
    n_examples = None if by_example is None else len(by_example)
    if not parts:
        return Comparison(difference, None, None, None, len(seeds), n_examples, None)
    test = CombinedTest(parts)
    if test.error <= 1e-9 * abs(difference):
        return _without_spread(difference, len(seeds), n_examples)
    half = test.half_width()
    return Comparison(
        difference=difference,
        ci95_low=difference - half,
        ci95_high=difference + half,
        p_value=test.p_value(difference),
        n_seeds=len(seeds),
        n_examples=n_examples,
        minimum_detectable=test.minimum_detectable(),
    )


def _by_example(first: Sample, second: Sample, seeds: list[int]) -> NDArray[np.float64] | None:
    """The differences of the contributions, averaged over the seeds: [examples]."""
    if first.contributions is None or second.contributions is None:
        return None
    mine, its = ([sample.contributions[seed] for seed in seeds] for sample in (first, second))  # type: ignore[index]
    found: NDArray[np.float64] = np.mean(mine, axis=0) - np.mean(its, axis=0)
    return found


def _variance_of_mean(values: NDArray[np.float64]) -> float:
    return float(values.var(ddof=1) / len(values))


def _without_spread(difference: float, seeds: int, n_examples: int | None) -> Comparison:
    """Differences that are all alike, to rounding.

    None at all is no difference. Some, the same at every seed, happens by chance where scores are coarse and
    seeds few, and shows a t-test no spread: the p then is that of a sign test, 2 / 2^seeds.
    """
    same = difference == 0
    p_value = 1.0 if same else 2.0 ** (1 - seeds)
    return Comparison(difference, None, None, p_value, seeds, n_examples, None)
