"""Do two methods differ on a task? Paired by seed and by example.

A score varies for two reasons: another seed trains other weights, and the same weights score differently on other test
examples. Comparing over seeds alone misses the second, since every seed is scored on the same examples: two methods
may differ by the same five lucky examples at every seed. Differences of shares (bench.stats.per_example) by seed and
example are therefore taken for a crossed layout with random effects (Searle, Casella and McCulloch, Variance
Components, 1992, chapter 4). With mean squares of S seeds, E examples and their interaction, the mean has the variance

    (MS_seeds + MS_examples - MS_interaction) / (S E)

Both of the first two contain the interaction, which counts once. It is subtracted from the part of the examples, which
does not become negative. Pairs cancel what both methods share (an easy example, a lucky order of batches). MS_seeds is
that of the scores: of F1 and the like they are not exactly the means of the shares.

The part of the seeds has S - 1 degrees of freedom, which is few. On a board of three methods or more it is squeezed
(bench.stats.moderation). The prior is fitted to the variances of the methods over seeds, not to those of the pairs: 13
methods make 78 pairs, which are far from independent, and one method that varies much would be in 12 of them. The
difference of two methods has twice a method's variance a priori, and the fewer degrees of freedom of both. Pairs that
can be compared by seeds alone are not squeezed. The test is that of bench.stats.combined.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.stats.combined import CombinedTest, Floats, Part
from bench.stats.moderation import fit_prior, squeeze

Ints = NDArray[np.int64]

ROUNDING = 1e-12  # sums of squares below this share of their terms are 0


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

    differences: first - second. parts: variances of these due to seeds, and due to examples. interaction: how much of
    the first is due to the interaction of both; 0 where unknown. p_values: nan where undefined. n_seeds: common seeds.
    n_examples: 0 where only seeds are compared.
    """

    def __init__(
        self, differences: Floats, n_seeds: Ints, n_examples: Ints, parts: tuple[Part, Part], interaction: Floats
    ) -> None:
        self.differences, self.n_seeds, self.n_examples = differences, n_seeds, n_examples
        self.parts, self.interaction = parts, interaction
        self._test = CombinedTest(parts)
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
            n_examples=int(self.n_examples[at]) or None,
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
        return self.minimum_detectable(family=1)


def compare_samples(first: Sample, second: Sample) -> Comparison | None:
    """Compare at common seeds; None where there is none.

    With one seed the p-value is over examples alone: it is about these two trainings, not about the methods.
    """
    return compare_all([first, second])[0]


def compare_all(samples: Sequence[Sample]) -> Comparisons:
    """Compare every two samples, in the order of itertools.combinations.

    What three or more samples say of how much methods vary over seeds enters each comparison, so that it is not quite
    that of `compare_samples`, which is about two.
    """
    first, second = np.triu_indices(len(samples), 1)
    seeds = sorted({seed for sample in samples for seed in sample.scores})
    scores = np.array([[sample.scores.get(seed, np.nan) for seed in seeds] for sample in samples])
    scores = scores.reshape(len(samples), len(seeds))
    known = ~np.isnan(scores)
    common = known[first] & known[second]
    n_seeds: Ints = common.sum(axis=1, dtype=np.int64)
    differences, of_seeds, of_examples, interaction = (np.zeros(len(first)) for _ in range(4))
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
                n_examples[both] = shares.shape[2]
                found = _due_to_examples([shares[at] for at in np.flatnonzero(pattern)])
                of_examples[both], interaction[both] = found[:, place[first[both]], place[second[both]]]
    parts = (
        _moderated(of_seeds, n_seeds, n_examples, scores),
        Part(of_examples, np.maximum(n_examples - 1, 1).astype(float)),
    )
    return Comparisons(differences, n_seeds, n_examples, parts, interaction)


def _moderated(of_seeds: Floats, n_seeds: Ints, n_examples: Ints, scores: Floats) -> Part:
    """The part of the seeds, squeezed: [pairs], of the variances of means over seeds, and scores, [samples, seeds]."""
    first, second = np.triu_indices(len(scores), 1)
    prior = fit_prior(*_own_variances(scores))
    usable = (n_seeds > 1) & (n_examples > 0)
    prior_freedom = np.where(usable, np.minimum(prior.freedom[first], prior.freedom[second]), 0.0)
    of_prior = 2 * prior.variance / np.maximum(n_seeds, 1)
    return Part(*squeeze(of_seeds, np.maximum(n_seeds - 1, 1).astype(float), of_prior, prior_freedom))


def _own_variances(scores: Floats) -> tuple[Floats, Ints]:
    """The samples' variances over seeds, and their degrees of freedom: [samples] each, of scores, [samples, seeds].

    What a seed does to all samples alike cancels in pairs: of four samples or more, the median of the others'
    deviations at each seed is subtracted. It has a variance of its own, nearly pi / 2 / (n + pi / 2 - 1) times that of
    each of n others.
    """
    known = ~np.isnan(scores)
    freedom: Ints = np.maximum(known.sum(axis=1) - 1, 0)
    apart = _deviations(np.where(known, scores, 0.0), known)
    several = np.flatnonzero(freedom)
    if len(several) > 3:
        common = np.zeros_like(apart)
        for at in several:
            common[at] = np.median(apart[several[several != at]], axis=0)
        apart = _deviations(apart - common, known)
        apart /= np.sqrt(1 + np.pi / 2 / (len(several) - 2 + np.pi / 2))
    variances = np.sum(apart**2, axis=1) / np.maximum(freedom, 1)
    rounding = (ROUNDING * np.abs(np.where(known, scores, 0.0)).max(initial=0.0)) ** 2
    return np.where(variances > rounding, variances, 0.0), freedom


def _deviations(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Those of the known values of each row from their mean, else 0: [rows, values]."""
    means = np.sum(values * known, axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, values - means, 0.0)


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


def _due_to_examples(shares: Sequence[Floats]) -> Floats:
    """Variances of mean differences due to examples alone, and to the interaction: [2, members, members].

    shares: [members, examples] of each seed.
    """
    seeds, examples = len(shares), shares[0].shape[1]
    between = _squares_of_differences(sum(shares[1:], shares[0]) / seeds) * seeds
    within = sum(map(_squares_of_differences, shares)) - between  # 0 with one seed
    interaction = np.maximum(within, 0.0) / max(seeds - 1, 1)
    return np.stack([np.maximum(between - interaction, 0.0), interaction]) / ((examples - 1) * seeds * examples)


def _squares_of_differences(rows: Floats) -> Floats:
    """Sums of squares of the centred differences of every two rows: [rows, rows] of [rows, values]."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    products = centred @ centred.T
    own = np.diagonal(products)[:, None]
    found: Floats = own + own.T - 2 * products
    return np.where(found > ROUNDING * (own + own.T), found, 0.0)


def _variance_of_mean(values: Floats) -> Floats:
    """Of each row: [rows] of [rows, values]."""
    found: Floats = values.var(axis=1, ddof=1) / values.shape[1]
    return found
