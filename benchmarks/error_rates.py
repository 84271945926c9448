"""How often comparisons err, and how often they find what is there: `python benchmarks/error_rates.py`.

Boards of 13 methods are made and compared by `bench.stats.paired`, and by the same test without its two refinements
("plain": each pair's variance over seeds alone, the interaction counted in both parts). A board is a task: examples are
easy or hard, other ones for each method; seeds have luck, and differ on the borderline examples, about as measured in
results/standard, or three times the luck. Methods vary over seeds by different amounts, a wild one ten times as much as
usual. Takes about fifteen minutes on one core with 1,000 boards of each setting.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from bench.stats import ALPHA
from bench.stats.combined import CombinedTest, Part
from bench.stats.multiple import holm
from bench.stats.over_tasks import OverTasks, Task
from bench.stats.paired import Comparisons, Sample, compare_all
from bench.text import text_table

Floats = NDArray[np.float64]

METHODS, TASKS = 13, 5
POSITIVE = 0.4  # share of the examples of the class that F1 is of
ACCURACY = 0.8
EASY, OWN, LUCK, NOISE = 1.2, 0.5, 0.025, 0.35  # standard deviations on the latent scale
VARIED = 8  # degrees of freedom of the methods' luck, whose variances are inverse chi-squared
WILD = 10.0  # times the variance over seeds
POINTS = 0.02, 0.03, 0.04


class Setting(NamedTuple):
    metric: str
    seeds: int
    examples: int
    wild: int = 0  # how many methods are
    luck: float = LUCK

    @property
    def spread(self) -> float:
        """Standard deviation of an answer on the latent scale."""
        return math.sqrt(EASY**2 + OWN**2 + self.luck**2 + NOISE**2)


SETTINGS = tuple(Setting(*each) for each in product(("accuracy", "f1", "matthews"), (3, 4), (400, 1000), (0, 1)))
LUCKY = tuple(Setting("accuracy", *each, luck=0.075) for each in product((3, 4), (1000,), (0, 1, 2)))


# Scores and shares from how many examples are hits, false alarms, misses and correct rejections: [..., 4].


def score(metric: str, counts: Floats) -> Floats:
    hit, alarm, miss, rejected = np.moveaxis(counts, -1, 0)
    if metric == "accuracy":
        return np.asarray((hit + rejected) / counts.sum(-1))
    if metric == "f1":
        return np.asarray(2 * hit / (2 * hit + alarm + miss))
    scale = np.sqrt((hit + alarm) * (hit + miss) * (rejected + alarm) * (rejected + miss))
    return np.asarray((hit * rejected - alarm * miss) / scale)


def scores_and_shares(metric: str, right: NDArray[np.bool_], positive: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Scores, [...], and jackknife shares, [..., examples], of answers; `positive`: [examples] of one class."""
    kinds = np.where(positive, np.where(right, 0, 2), np.where(right, 3, 1))
    counts = np.stack([(kinds == kind).sum(-1) for kind in range(4)], axis=-1).astype(float)
    whole, many = score(metric, counts), right.shape[-1]
    without = score(metric, np.maximum(counts[..., None, :] - np.eye(4), 0))  # one of a kind less: [..., 4]
    shares = many * whole[..., None] - (many - 1) * without
    return whole, np.take_along_axis(shares, kinds, axis=-1)


def shift(setting: Setting, points: float) -> float:
    """How far a method lies ahead on the latent scale whose score is better by so much."""

    def of(accuracy: float) -> float:
        of_class = np.array([POSITIVE, 1 - POSITIVE, POSITIVE, 1 - POSITIVE])
        return float(score(setting.metric, of_class * [accuracy, 1 - accuracy, 1 - accuracy, accuracy]))

    wanted = of(ACCURACY) + points
    better = brentq(lambda accuracy: of(accuracy) - wanted, 0.5, 1 - 1e-9)
    return float((norm.ppf(better) - norm.ppf(ACCURACY)) * setting.spread)


def board(draw: np.random.Generator, setting: Setting, ahead: float = 0.0) -> list[Sample]:
    """Methods that are equally good but for the first, which is `ahead`; the last ones may be wild."""
    shape = METHODS, setting.seeds, setting.examples
    variance = VARIED / draw.chisquare(VARIED, METHODS)
    variance[METHODS - setting.wild :] = WILD
    latent = draw.normal(0, NOISE, shape)
    latent += draw.normal(0, EASY, shape[2]) + draw.normal(0, OWN, (METHODS, 1, shape[2]))
    latent += draw.normal(0, setting.luck, shape[:2])[..., None] * np.sqrt(variance)[:, None, None]
    latent += norm.ppf(ACCURACY) * setting.spread
    latent[0] += ahead
    found, shares = scores_and_shares(setting.metric, latent > 0, draw.random(shape[2]) < POSITIVE)
    return [
        Sample(dict(enumerate(map(float, by_seed))), dict(enumerate(each)))
        for by_seed, each in zip(found, shares, strict=True)
    ]


def plain(samples: list[Sample], compared: Comparisons) -> Floats:
    """The p-values of the test without squeezing, and with the interaction in both parts."""
    scores = np.array([list(sample.scores.values()) for sample in samples])
    first, second = np.triu_indices(len(scores), 1)
    seeds = scores.shape[1]
    over_seeds = Part((scores[first] - scores[second]).var(axis=1, ddof=1) / seeds, np.full(len(first), seeds - 1.0))
    examples = compared.parts[1]
    over_examples = Part(examples.variance + compared.interaction, examples.freedom)
    return CombinedTest([over_seeds, over_examples]).p_values(compared.differences)


class Rates(NamedTuple):
    """Shares of the boards with a significant difference after Holm's correction for all pairs.

    any_pair: between the first method and any other; if all are equally good, between any two. given_pair: between
    the first two. The plain test's, then the test's.
    """

    any_pair: tuple[float, float]
    given_pair: tuple[float, float]


def rates(setting: Setting, boards: int, draw: np.random.Generator, points: float = 0.0) -> Rates:
    """points: how far the first method is ahead of the others."""
    ahead = shift(setting, points) if points else 0.0
    pairs = METHODS - 1 if points else METHODS * (METHODS - 1) // 2
    found = np.zeros((2, 2))
    for _ in range(boards):
        samples = board(draw, setting, ahead)
        compared = compare_all(samples)
        for at, p_values in enumerate((plain(samples, compared), compared.p_values)):
            significant = np.array(holm(p_values.tolist())) < ALPHA
            found[:, at] += significant[:pairs].any(), significant[0]
    return Rates(*(tuple(row) for row in (found / boards).tolist()))


def coverage(setting: Setting, suites: int, draw: np.random.Generator) -> float:
    """How often the intervals over TASKS tasks of all pairs of equal methods contain 0 at once."""
    rows, covered = range(METHODS), 0
    for _ in range(suites):
        over = OverTasks(rows, [Task(rows, compare_all(board(draw, setting))) for _ in range(TASKS)])
        found = [over.difference(*pair, family=len(over.adjusted)) for pair in over.adjusted]
        covered += all(abs(each.difference) <= (each.half_width or 0) for each in found)
    return covered / suites


def false_alarms(boards: int, draw: np.random.Generator) -> Iterator[dict[str, object]]:
    for setting in (*SETTINGS, *LUCKY):
        before, now = rates(setting, boards, draw).any_pair
        yield {**setting._asdict(), "plain, %": f"{100 * before:.1f}", "this test, %": f"{100 * now:.1f}"}


def power(boards: int, draw: np.random.Generator) -> Iterator[dict[str, object]]:
    """Of a given pair, and of any pair of a board, each of the plain test and of this one."""
    for setting in SETTINGS:
        if setting.wild:
            continue
        line: dict[str, object] = {name: getattr(setting, name) for name in ("metric", "seeds", "examples")}
        for points in POINTS:
            for name, both in zip(("any", "pair"), rates(setting, boards, draw, points), strict=True):
                line[f"+{100 * points:.0f} {name}"] = " ".join(f"{100 * rate:.0f}" for rate in both)
        yield line


def over_tasks(suites: int, draw: np.random.Generator) -> Iterator[dict[str, object]]:
    for setting in SETTINGS:
        if setting.metric == "accuracy" and setting.examples == 1000:
            yield {**setting._asdict(), "covered, %": f"{100 * coverage(setting, suites, draw):.1f}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=1000, help="of each setting; half as many for power")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = np.random.default_rng(given.seed)
    print("Boards of equal methods with a significant difference:")
    print(text_table(false_alarms(given.boards, draw)))
    print("\nBoards with a significant difference, %, one method being so many points ahead (plain test, this test):")
    print(text_table(power(given.boards // 2, draw)))
    print(f"\nSuites of {TASKS} tasks whose simultaneous intervals of all pairs over tasks contain the truth:")
    print(text_table(over_tasks(given.boards // 2, draw)))


if __name__ == "__main__":
    main()
