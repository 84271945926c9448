"""Contenders in turns, and the ratios of what they reach.

One round is one training of each, so whatever else the machine does falls on all of them, and a ratio is taken
within a round. Who begins moves on by one from round to round, so nobody always follows the same one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.stats.summary import summarise


@dataclass(frozen=True)
class Ratio:
    """One figure over another, round by round.

    mean: geometric. low and high: the 95 % interval of the mean logarithm (Student's t over rounds), as ratios; None
    of one round.
    """

    rounds: tuple[float, ...]
    median: float
    mean: float
    low: float | None
    high: float | None


def turns(names: Sequence[str], round_: int) -> list[str]:
    """The order of a round, counted from 0."""
    at = round_ % len(names) if names else 0
    return [*names[at:], *names[:at]]


def ratio(first: Sequence[float], second: Sequence[float]) -> Ratio:
    """first / second of each round.

    Raises:
        ValueError: if there is no round, or they have not as many.
    """
    rounds = tuple(a / b for a, b in zip(first, second, strict=True))
    summary = summarise([math.log(each) for each in rounds])
    if summary is None:
        raise ValueError("there is no round to take a ratio of")
    low, high = (None if end is None else math.exp(end) for end in (summary.ci95_low, summary.ci95_high))
    return Ratio(rounds, statistics.median(rounds), math.exp(summary.mean), low, high)
