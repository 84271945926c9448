"""Numbers behind the charts: the Pareto front, and loss curves thinned to a bounded number of points."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

MOST_POINTS = 60  # of one curve: what a chart of a hand's width can show


def pareto(points: Mapping[str, tuple[float, float]], cost_sign: int = 1, score_sign: int = 1) -> list[str]:
    """The points that no other beats: none costs no more and scores no less, and is better in one of the two.

    Args:
        points: (cost, score) by name.
        cost_sign: 1 where a small cost is good, -1 where a large one is.
        score_sign: 1 where a large score is good, -1 where a small one is.

    Returns: names, from the cheapest on.
    """
    signed = {name: (cost_sign * cost, -score_sign * score) for name, (cost, score) in points.items()}

    def beaten(name: str) -> bool:
        cost, loss = signed[name]
        return any(c <= cost and x <= loss and (c, x) != (cost, loss) for c, x in signed.values())

    return sorted((name for name in signed if not beaten(name)), key=lambda name: (signed[name], name))


def bin_width(lengths: Sequence[int], most: int = MOST_POINTS) -> int:
    """Steps to a point, so that the longest of the curves has no more than `most` points."""
    return max(1, math.ceil(max(lengths, default=0) / most))


def thinned(losses: Sequence[float], width: int) -> list[float | None]:
    """The mean of each stretch of `width` steps (the last may be shorter); None where nothing in it is finite."""
    stretches = (losses[start : start + width] for start in range(0, len(losses), width))
    return [_mean([loss for loss in stretch if math.isfinite(loss)]) for stretch in stretches]


def middle_steps(length: int, width: int) -> list[float]:
    """The step, counted from 1, in the middle of each stretch that `thinned` makes of a curve of this length."""
    return [(start + 1 + min(start + width, length)) / 2 for start in range(0, length, width)]


def mean_curve(curves: Sequence[Sequence[float | None]]) -> list[float | None]:
    """The mean over curves, point by point, as far as all of them go."""
    shortest = min(map(len, curves), default=0)
    return [_mean([curve[at] for curve in curves]) for at in range(shortest)]


def _mean(values: Sequence[float | None]) -> float | None:
    """None where any is unknown: the mean of those that are left would be the mean of something else."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None
