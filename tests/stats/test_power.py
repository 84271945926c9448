"""Detectable differences from variances measured earlier."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from bench.stats.paired import Sample, compare_all
from bench.stats.power import Components, components, detectable, examples_needed, seeds_needed


def one_pair(seeds: float, examples: float, interaction: float, prior_freedom: float) -> Components:
    return Components(*(np.array([each]) for each in (seeds, examples, interaction, prior_freedom)))


def test_without_a_variance_over_seeds_it_is_statsmodels_and_the_correction_is_bonferronis() -> None:
    only_examples = one_pair(0.0, 0.25, 0.0, 0.0)
    for family in (1, 78):
        theirs = TTestPower().solve_power(nobs=400, alpha=0.05 / family, power=0.8)
        assert detectable(only_examples, 3, 400, family) == pytest.approx(0.5 * theirs, rel=1e-3)


def test_the_components_are_those_that_were_made() -> None:
    """Scores of two crossed effects and their interaction, of 6 methods: differences have twice the variances."""
    draw = np.random.default_rng(8)
    shares = (
        draw.normal(0, 0.02, (6, 20, 1)) + draw.normal(0, 0.3, (6, 1, 300)) + draw.normal(0, 0.2, (6, 20, 300))
    )  # fmt: skip
    compared = compare_all([Sample(dict(enumerate(each.mean(1))), dict(enumerate(each))) for each in shares])
    found = components(compared)
    assert found is not None
    assert [np.median(each) for each in found[:3]] == pytest.approx([2 * 0.02**2, 2 * 0.3**2, 2 * 0.2**2], rel=0.25)
    # As many seeds and examples as there were: what the comparisons themselves say.
    assert detectable(found, 20, 300, 15) == pytest.approx(np.median(compared.minimum_detectable(15)), rel=1e-9)
    assert detectable(found, 40, 300, 15) < detectable(found, 20, 300, 15) < detectable(found, 20, 150, 15)
    assert components(compare_all([Sample({0: 0.5, 1: 0.6}), Sample({0: 0.4, 1: 0.3})])) is None


@pytest.mark.parametrize("wanted", [0.06, 0.1])
def test_what_is_needed_is_the_least(wanted: float) -> None:
    found = one_pair(seeds=2 * 0.02**2, examples=2 * 0.3**2, interaction=2 * 0.2**2, prior_freedom=9)
    seeds, examples = seeds_needed(found, wanted, 3000, 10), examples_needed(found, wanted, 12, 10)
    assert seeds is not None
    assert examples is not None
    assert detectable(found, seeds, 3000, 10) <= wanted < detectable(found, seeds - 1, 3000, 10)
    assert detectable(found, 12, examples, 10) <= wanted < detectable(found, 12, examples - 1, 10)


def test_what_no_number_detects() -> None:
    found = one_pair(seeds=2 * 0.05**2, examples=0.2, interaction=0.1, prior_freedom=9)
    assert seeds_needed(found, 0.0001, 100, 10) is None
    assert examples_needed(found, 0.01, 2, 10) is None
