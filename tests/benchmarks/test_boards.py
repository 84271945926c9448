"""Made boards: their scores are those of the metrics, error rates and power are as documented, letters are right."""

from __future__ import annotations

import math
from itertools import combinations

import error_rates
import numpy as np
import pytest
from error_rates import LUCKY, METHODS, SETTINGS, Setting
from scoring import METRICS, shares

from bench.stats.multiple import holm, letters
from bench.stats.paired import Sample, compare_all


def most(rate: float, runs: int) -> float:
    """A rate that one of so many runs stays below, but for four standard errors."""
    return rate + 4 * math.sqrt(rate * (1 - rate) / runs)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews"])
def test_scores_and_shares_are_the_metrics(metric: str) -> None:
    draw = np.random.default_rng(0)
    right, positive = draw.random((2, 80)) < 0.7, draw.random(80) < 0.4
    found, each = error_rates.scores_and_shares(metric, right, positive)
    for row in range(2):
        answers, truth = np.where(right[row], positive, ~positive).astype(int).tolist(), positive.astype(int).tolist()
        assert found[row] == pytest.approx(METRICS[metric]().compute(answers, truth, ("no", "yes")))
        np.testing.assert_allclose(each[row], shares(metric, answers, truth, ("no", "yes")))


def test_a_method_that_is_ahead_scores_so_much_better() -> None:
    draw, setting = np.random.default_rng(1), Setting("f1", 3, 20_000)
    samples = error_rates.board(draw, setting, error_rates.shift(setting, 0.04))
    means = [np.mean(list(sample.scores.values())) for sample in samples]
    assert means[0] - np.mean(means[1:]) == pytest.approx(0.04, abs=0.015)


def largest_sets(rows: int, differ: set[tuple[int, int]]) -> set[frozenset[int]]:
    """All sets of rows of which no two differ, and which no other row can join: by trying every set."""
    sets = np.arange(1 << rows)
    within = [(sets >> row & 1).astype(bool) for row in range(rows)]
    fit = np.ones(len(sets), dtype=bool)
    for a, b in differ:
        fit &= ~(within[a] & within[b])
    could_grow = np.zeros(len(sets), dtype=bool)
    for row in range(rows):
        could_grow[fit] |= ~within[row][fit] & fit[sets[fit] | 1 << row]
    return {frozenset(row for row in range(rows) if within[row][at]) for at in np.flatnonzero(fit & ~could_grow)}


def test_letters_of_boards_with_a_wild_and_a_collapsed_method() -> None:
    """40 boards, methods one to four points apart: against all sets of rows that do not differ."""
    draw = np.random.default_rng(2)
    for _ in range(40):
        samples = []
        for method in range(METHODS):
            easy = draw.normal(0.8 - 0.02 * method, 0.3, 300)
            luck = draw.normal(0, 0.2 if method == 3 else 0.02, (4, 1)) + draw.normal(0, 0.1, (4, 300))
            right = (easy + luck > draw.random(300)).astype(float)
            if method == 5:
                right[draw.integers(4)] = 0  # one of its trainings came to nothing
            samples.append(Sample(dict(enumerate(right.mean(axis=1))), dict(enumerate(right))))
        samples.sort(key=lambda sample: -np.mean(list(sample.scores.values())))
        adjusted = holm(compare_all(samples).p_values.tolist())
        pairs = dict(zip(combinations(range(METHODS), 2), adjusted, strict=True))
        found = letters(range(METHODS), pairs)
        names = sorted(set("".join(found.values())))
        columns = [frozenset(row for row in found if name in found[row]) for name in names]
        assert set(columns) == largest_sets(METHODS, {pair for pair, p in pairs.items() if p < 0.05})
        assert [min(column) for column in columns] == sorted(min(column) for column in columns)


@pytest.mark.slow
@pytest.mark.parametrize("setting", [each for each in (*SETTINGS, *LUCKY) if each.seeds == 3 and each.wild < 2])
def test_false_alarms_of_whole_boards(setting: Setting) -> None:
    """At most 5.5 % of boards of equal methods."""
    draw, boards = np.random.default_rng(setting.examples), 400
    _, now = error_rates.rates(setting, boards, draw).any_pair
    assert now <= most(0.055, boards)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 4])
def test_power_after_correction(seeds: int) -> None:
    draw = np.random.default_rng(seeds)
    found = error_rates.rates(Setting("accuracy", seeds, 1000), 200, draw, points=0.04)
    for before, now in found:
        assert now > before + 0.1
    assert found.any_pair[1] > 0.6


@pytest.mark.slow
def test_simultaneous_intervals_over_tasks_cover() -> None:
    suites = 100
    for wild in (0, 1):
        covered = error_rates.coverage(Setting("accuracy", 3, 400, wild), suites, np.random.default_rng(4))
        assert covered >= 1 - most(0.05, suites)
