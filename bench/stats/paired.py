"""Do two methods differ on a task? Paired by seed and by example.

A score varies for two reasons: another seed trains other weights, and the same weights score differently on other test
examples. Comparing over seeds alone misses the second, since every seed is scored on the same examples: two methods
may differ by the same five lucky examples at every seed. So the variance of the difference is the sum of both, each
estimated from pairs, which cancels what both methods share (an easy example, a lucky order of batches):

    variance = (variance of differences over seeds) / seeds + (variance of differences of shares) / examples

where shares are those of bench.stats.per_example, and the test that of bench.stats.combined. The interaction of seed
and example enters both terms, so the test is conservative.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.stats.combined import CombinedTest, Floats, Part

Ints = NDArray[np.int64]

BLOCK = 2_000_000  # differences of shares in memory at a time


@dataclass(frozen=True)
class Sample:
    """One method's results on one task: score by seed and, where they are known, shares of examples by seed.

    per_example: [examples] for each seed, in the order of the test set. tested_on: identifies the test set; samples
    of different ones are compared by seed alone.
    """

    scores: Mapping[int, float]
    per_example: Mapping[int, Floats] | None = None
    tested_on: Hashable = None


@dataclass(frozen=True)
class Comparison:
    """first - second, in units of the score. None: cannot be estimated.

    difference: mean over common seeds. p_value: two-sided, not corrected for other comparisons. n_examples: None where
    only seeds were compared. minimum_detectable: the true difference that this comparison detects with 80 % power.
    """

    difference: float
    ci95_low: float | None
    ci95_high: float | None
    p_value: float | None
    n_seeds: int
    n_examples: int | None
    minimum_detectable: float | None


class Comparisons(Sequence[Comparison | None]):
    """Comparisons of many pairs, [pairs], None where two have no seed in common.

    differences: first - second. parts: variances of these due to seeds, and due to examples. p_values: nan where
    undefined. n_seeds: common seeds.
    """

    def __init__(self, differences: Floats, n_seeds: Ints, seeds: Floats, n_examples: Ints, examples: Floats) -> None:
        """seeds, examples: variances of the mean due to each. n_examples: 0 where only seeds are compared."""
        self.n_seeds, self.differences, self._n_examples = n_seeds, differences, n_examples
        self.parts = (
            Part(seeds, np.maximum(n_seeds - 1, 1).astype(float)),
            Part(examples, np.maximum(n_examples - 1, 1).astype(float)),
        )
        self._test = CombinedTest(self.parts)
        tested = (n_seeds > 1) | (n_examples > 0)
        self._spread = tested & (self._test.error > 1e-9 * np.abs(differences))
        # Without spread (to rounding) a t-test is undefined. If all differences are zero, p is 1. The same difference
        # at every seed happens by chance where scores are coarse and seeds few: p is a sign test's, 2 / 2^seeds.
        no_spread = np.where(differences == 0, 1.0, 2.0 ** (1 - n_seeds))
        p_values = np.where(self._spread, self._test.p_values(differences), no_spread)
        self.p_values: Floats = np.where(tested, p_values, np.nan)

    def __len__(self) -> int:
        return len(self.n_seeds)

    def __getitem__(self, at: int) -> Comparison | None:  # type: ignore[override]
        if not self.n_seeds[at]:
            return None
        difference, half = float(self.differences[at]), float(self._half_widths[at])
        spread = bool(self._spread[at])
        return Comparison(
            difference=difference,
            ci95_low=difference - half if spread else None,
            ci95_high=difference + half if spread else None,
            p_value=None if np.isnan(self.p_values[at]) else float(self.p_values[at]),
            n_seeds=int(self.n_seeds[at]),
            n_examples=int(self._n_examples[at]) or None,
            minimum_detectable=float(self._minimum_detectable[at]) if spread else None,
        )

    def minimum_detectable(self, family: int) -> Floats:
        """The true differences detected with 80 % power after correction for so many: [pairs]; nan: not estimated."""
        return np.where(self._spread, self._test.minimum_detectable(family), np.nan)

    @cached_property
    def _half_widths(self) -> Floats:
        return self._test.half_widths()

    @cached_property
    def _minimum_detectable(self) -> Floats:
        return self._test.minimum_detectable()


def compare_samples(first: Sample, second: Sample) -> Comparison | None:
    """Compare at common seeds; None where there is none.

    With one seed the p-value is over examples alone: it is about these two trainings, not about the methods.
    """
    return compare_all([first, second])[0]


def compare_all(samples: Sequence[Sample]) -> Comparisons:
    """Compare every two samples as `compare_samples` does, in the order of itertools.combinations."""
    first, second = np.triu_indices(len(samples), 1)
    seeds = sorted({seed for sample in samples for seed in sample.scores})
    scores = np.array([[sample.scores.get(seed, np.nan) for seed in seeds] for sample in samples])
    scores = scores.reshape(len(samples), len(seeds))
    known = ~np.isnan(scores)
    common = known[first] & known[second]
    n_seeds: Ints = common.sum(axis=1, dtype=np.int64)
    differences, of_seeds, of_examples = (np.zeros(len(first)) for _ in range(3))
    n_examples = np.zeros(len(first), dtype=np.int64)
    sets = _by_test_set(samples, seeds)
    # Most pairs have the same seeds in common: these are computed together.
    patterns, which = np.unique(common, axis=0, return_inverse=True)
    for at, pattern in enumerate(patterns):
        pairs = np.flatnonzero(which.reshape(-1) == at)
        if not pattern.any():
            continue
        apart = scores[first[pairs]][:, pattern] - scores[second[pairs]][:, pattern]
        differences[pairs] = apart.mean(axis=1)
        if pattern.sum() > 1:
            of_seeds[pairs] = _variance_of_mean(apart)
        for place, shares in sets:
            both = pairs[(place[first[pairs]] >= 0) & (place[second[pairs]] >= 0)]
            if len(both):
                # Seed by seed, without a copy of the large array.
                means = sum(shares[at] for at in np.flatnonzero(pattern)) / pattern.sum()
                n_examples[both] = means.shape[1]
                of_examples[both] = _by_example(means, place[first[both]], place[second[both]])
    return Comparisons(differences, n_seeds, of_seeds, n_examples, of_examples)


def _by_test_set(samples: Sequence[Sample], seeds: Sequence[int]) -> list[tuple[Ints, Floats]]:
    """For each test set: the place of each sample among its members (-1: not a member), [samples], and the members'
    shares, [seeds, members, examples]; 0 at a seed that a member does not have."""
    members: dict[Hashable, list[int]] = {}
    for at, sample in enumerate(samples):
        if sample.per_example:
            members.setdefault(sample.tested_on, []).append(at)
    found = []
    for each in members.values():
        if len(each) < 2:
            continue
        place = np.full(len(samples), -1, dtype=np.int64)
        place[each] = np.arange(len(each))
        known = [samples[at].per_example or {} for at in each]
        held = np.zeros((len(seeds), len(each), len(next(iter(known[0].values())))))
        for at, by_seed in enumerate(known):
            for row, seed in zip(held, seeds, strict=True):
                if seed in by_seed:
                    row[at] = by_seed[seed]
        found.append((place, held))
    return found


def _by_example(means: Floats, first: Ints, second: Ints) -> Floats:
    """Variances of the means of differences over examples: [pairs], of shares that are [members, examples]."""
    found = np.empty(len(first))
    most = max(1, BLOCK // means.shape[1])
    for start in range(0, len(first), most):
        block = slice(start, start + most)
        found[block] = _variance_of_mean(means[first[block]] - means[second[block]])
    return found


def _variance_of_mean(values: Floats) -> Floats:
    """Of each row: [rows] of [rows, values]."""
    count = values.shape[1]
    centred = values - values.mean(axis=1, keepdims=True)
    found: Floats = np.einsum("ij,ij->i", centred, centred) / (count - 1) / count
    return found
