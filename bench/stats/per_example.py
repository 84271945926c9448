"""Each test example's share of a score, so that two methods can be compared example by example.

The share is the jackknife's pseudo-value, for m examples m * score - (m - 1) * (score without the example) (Tukey 1958;
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11). For accuracy it is 1 or 0, and the score is
the mean. F1, Matthews and rank correlations are not means over examples; the spread of their pseudo-values gives the
same standard error as a bootstrap over examples, without random numbers and in one pass.

Here is what several metrics need for their scores without each example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = NDArray[Any]
Score = Callable[[Floats], Floats]  # from sums over examples, [..., k], to scores, [...]; nan where undefined

MOST_RANKED = 50_000  # examples whose ranks are computed: a second's work
MOST_CELLS = 20_000_000  # of a table of examples by classes: 160 MB


class TooLarge(Exception):
    """Too many examples, or too many classes, for the shares of a score."""


def pseudo_values(whole: float, without: Floats) -> Floats | None:
    """The shares, [examples], from the score and the scores without each example; None where one is undefined."""
    count = len(without)
    found: Floats = count * whole - (count - 1) * without
    return found if np.isfinite(found).all() else None


# Scores of sums: [examples, k] summands, and the function from their sums to the score.


def without_each(summands: Floats, score: Score) -> tuple[float, Floats]:
    """The score of all examples, and without each one: [examples]."""
    total = summands.sum(axis=0)
    return float(score(total)), score(total - summands)


def columns(*values: Any) -> Floats:
    """Summands from one value an example and column."""
    return np.stack(np.broadcast_arrays(*values), axis=1).astype(float)


def share_of(sums: Floats) -> Floats:
    """The first of two sums over the second."""
    found: Floats = sums[..., 0] / sums[..., 1]
    return found


def harmonic(sums: Floats) -> Floats:
    """F1 from hits, answers and truths: [..., 3]; 0 where there is neither answer nor truth."""
    both = sums[..., 1] + sums[..., 2]
    return np.divide(2 * sums[..., 0], both, out=np.zeros_like(both), where=both > 0)


def hits_answers_truths(predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str]) -> Floats:
    """Of each example and class, whether the answer is right, is given, and would be right: [examples, 3 * classes].

    Class indices: of the classes that occur. Lists of them: of all labels.
    """
    if isinstance(references[0], list):
        answered, true = (indicators(rows, len(labels)) for rows in (predictions, references))
    else:
        kinds = np.union1d(predictions, references)
        require_room(len(references), len(kinds))
        answered, true = (np.asarray(values)[:, None] == kinds for values in (predictions, references))
    return np.hstack([answered & true, answered, true]).astype(float)


def indicators(rows: Sequence[Sequence[int]], labels: int) -> NDArray[np.bool_]:
    require_room(len(rows), labels)
    found = np.zeros((len(rows), labels), dtype=bool)
    for row, indices in zip(found, rows, strict=True):
        row[indices] = True
    return found


def require_room(examples: int, classes: int) -> None:
    if examples * classes > MOST_CELLS:
        raise TooLarge


def by_class(sums: Floats) -> Floats:
    """Sums of `hits_answers_truths` as one row a class: [..., classes, 3]."""
    return np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, -1)


def mean_where(values: Floats, where: NDArray[np.bool_]) -> Floats:
    """The mean over the last axis of the values that count; 0 where none does."""
    count = where.sum(-1)
    return np.divide((values * where).sum(-1), count, out=np.zeros(count.shape), where=count > 0)


def correlation_of_sums(sums: Floats) -> Floats:
    """Pearson's correlation from the sums of 1, x, y, x * x, y * y and x * y: [..., 6]."""
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    scale = np.sqrt(np.maximum((count * xx - x * x) * (count * yy - y * y), 0))
    return np.divide(count * xy - x * y, scale, out=np.full_like(scale, np.nan), where=scale > 0)


# Rank correlation. Without an example, the rank of each larger one falls by 1 and that of each equal one by 1/2. All
# sums below are multiples of 1/4, so nothing is rounded.


class _Ranked:
    """Values by rank: which distinct value each example has, [examples], and how many have it, [distinct]."""

    def __init__(self, values: Floats) -> None:
        _, self.which, tied = np.unique(values, return_inverse=True, return_counts=True)
        self.tied: Floats = tied.astype(float)
        self.ranks: Floats = (np.cumsum(self.tied) - (self.tied - 1) / 2)[self.which]

    def squares_without(self) -> Floats:
        """The sum of the squares of all ranks without each example."""
        count, t = len(self.which), self.tied
        of_all = (count - 1) * count * (2 * count - 1) / 6 - ((t**3 - t) / 12).sum()
        found: Floats = of_all + (t * (t - 1) / 4)[self.which]
        return found

    def sum_above(self, values: Floats) -> Floats:
        """For each example, the sum of the values of the larger ones, plus half of those of the other equal ones."""
        sums = np.bincount(self.which, weights=values)
        found: Floats = (sums.sum() - np.cumsum(sums) + sums / 2)[self.which] - values / 2
        return found


def spearman(x: Floats, y: Floats) -> tuple[float, Floats]:
    """Spearman's rank correlation of all examples, and without each one: [examples]. NaN for a constant."""
    if len(x) > MOST_RANKED:
        raise TooLarge
    count, first, second = len(x), _Ranked(x), _Ranked(y)
    a, b = first.ranks, second.ranks
    whole = float(_correlation_of_ranks(count, *(np.array(each) for each in (a @ a, a @ b, b @ b))))
    products = a @ b - a * b - first.sum_above(b) - second.sum_above(a) + _count_above_in_both(first, second)
    return whole, _correlation_of_ranks(count - 1, first.squares_without(), products, second.squares_without())


def _correlation_of_ranks(count: int, xx: Floats, xy: Floats, yy: Floats) -> Floats:
    """Pearson's correlation of the ranks 1 to `count`, ties at their mean, from sums of squares and products."""
    mean_square = count * ((count + 1) / 2) ** 2
    scale = np.sqrt((xx - mean_square) * (yy - mean_square))
    return np.divide(xy - mean_square, scale, out=np.full_like(scale, np.nan), where=scale > 0)


def _count_above_in_both(x: _Ranked, y: _Ranked) -> Floats:
    """For each example, how many others are larger in both x and y; equality in one halves an example's weight."""
    order = np.argsort(y.which, kind="stable")
    place = np.argsort(order).tolist()  # of each example in the order of y
    stop = np.cumsum(y.tied)[y.which].astype(int)  # where those that are equal in y end
    start = (stop - y.tied[y.which].astype(int)).tolist()
    stop, by_x = stop.tolist(), x.which.tolist()
    found, seen = [0.0] * len(place), 0  # seen: a bit at the place of each example that is larger in x

    for _, equal in groupby(np.argsort(-x.which).tolist(), key=by_x.__getitem__):
        tied = list(equal)
        for at in tied:
            found[at] = (seen >> start[at]).bit_count() + (seen >> stop[at]).bit_count()
        for at in tied:
            seen |= 1 << place[at]
        if len(tied) > 1:  # half of the tied ones; each is equal to itself in both, which is not counted
            for at in tied:
                both = found[at] + (seen >> start[at]).bit_count() + (seen >> stop[at]).bit_count()
                found[at] = both / 2 - 0.5
    return np.array(found) / 2
