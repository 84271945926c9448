"""How small a difference a comparison would detect, with how many seeds and test examples."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from bench.stats.combined import CombinedTest, Floats, Part
from bench.stats.paired import Comparisons

MOST_SEEDS, MOST_EXAMPLES = 100, 1_000_000


class Components(NamedTuple):
    """Variances of differences of two methods, in squared units of the score, [pairs]: of one seed, of one example, and
    of the interaction of one seed and one example. prior_freedom: what squeezing adds to the degrees of freedom of the
    seeds.
    """

    seeds: Floats
    examples: Floats
    interaction: Floats
    prior_freedom: Floats


def components(comparisons: Comparisons) -> Components | None:
    """Of the pairs that were compared by two seeds or more and by example; None where there is none."""
    of = (comparisons.n_seeds > 1) & (comparisons.n_examples > 0)
    if not of.any():
        return None
    seeds, examples, interaction = comparisons.n_seeds[of], comparisons.n_examples[of], comparisons.interaction[of]
    of_seeds, of_examples = comparisons.parts
    return Components(
        np.maximum(seeds * (of_seeds.variance[of] - interaction), 0.0),
        examples * of_examples.variance[of],
        seeds * examples * interaction,
        of_seeds.freedom[of] - (seeds - 1),
    )


def detectable(found: Components, seeds: int, examples: int, family: int) -> float:
    """The true difference detected with 80 % power after correction for `family` comparisons: the median pair's.

    seeds: two or more. examples: of the test set, two or more. Correction is Bonferroni's, Holm's first step.
    """
    of_seeds = found.seeds / seeds + found.interaction / (seeds * examples)
    test = CombinedTest([
        Part(of_seeds, found.prior_freedom + seeds - 1),
        Part(found.examples / examples, np.full(len(of_seeds), examples - 1.0)),
    ])  # fmt: skip
    return float(np.median(test.minimum_detectable(family)))


def seeds_needed(found: Components, wanted: float, examples: int, family: int) -> int | None:
    """The least number of seeds, two or more, that detects this difference; None: more than MOST_SEEDS."""
    every = range(MOST_SEEDS + 1)
    least = bisect_left(every, True, lo=2, key=lambda n: detectable(found, n, examples, family) <= wanted)
    return least if least in every else None


def examples_needed(found: Components, wanted: float, seeds: int, family: int) -> int | None:
    """The least number of test examples, two or more, that detects it; None: more than MOST_EXAMPLES."""
    every = range(MOST_EXAMPLES + 1)
    least = bisect_left(every, True, lo=2, key=lambda n: detectable(found, seeds, n, family) <= wanted)
    return least if least in every else None
