"""Each test example's share of a score, so that two methods can be compared example by example.

The share is the jackknife's pseudo-value, for m examples m * score - (m - 1) * (score without the example) (Tukey 1958;
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11). For accuracy it is 1 or 0, and the score is
the mean. F1, Matthews and rank correlations are not means over examples; the spread of their pseudo-values gives the
same standard error as a bootstrap over examples, without random numbers and in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = NDArray[Any]
Score = Callable[[Floats], Floats]  # from sums over examples, [..., k], to scores, [...]; nan where undefined

MOST_RANKED = 50_000  # examples whose ranks are computed: a second's work
LARGEST = 10**15  # the largest number or index: sums of squares stay finite
MOST_KINDS = 1_000  # labels of a classification, which needs a table of examples by labels


def shares(
    metric: str, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str] | None
) -> Floats | None:
    """The share of each example in `metric`: [examples]. None where it is undefined.

    predictions and references are as in records (see `metrics.score`); labels name the indices of a token
    classification. Undefined: fewer than two examples, a score that is undefined with or without any one of them,
    unknown labels, values that do not fit the metric (a record may come from anywhere), or more examples than
    MOST_RANKED.
    """
    count = len(references)
    if count < 2 or len(predictions) != count or not _are_valid(metric, [*predictions, *references], labels):
        return None
    whole, without = leave_one_out(metric, predictions, references, labels)
    found: Floats = count * whole - (count - 1) * without
    return found if np.isfinite(found).all() else None


def leave_one_out(
    metric: str, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str] | None
) -> tuple[float, Floats]:
    """The score of all examples, and the score without each one: [examples]."""
    if metric in _RANKED:
        return _RANKED[metric](np.asarray(predictions, dtype=float), np.asarray(references, dtype=float))
    if metric == "entity_f1":
        summands, score = _entity_f1(predictions, references, tuple(labels or ()))
    else:
        summands, score = _SUMMED[metric](np.asarray(predictions), np.asarray(references))
    return _without(summands, score)


def _are_valid(metric: str, values: Sequence[Any], labels: Sequence[str] | None) -> bool:
    """Whether `metrics` can score these: indices of labels, numbers, or rows of indices."""
    if metric in _RANKED:
        few = len(values) <= 2 * MOST_RANKED
        return few and _all_of(values, int, float) and min(values) >= -LARGEST and max(values) <= LARGEST
    if metric == "entity_f1":
        if not labels or not all(labels) or not _all_of(values, list):
            return False
        indices = list(chain.from_iterable(values))
        return _all_of(indices, int) and set(indices) <= set(range(-1, len(labels)))
    if metric not in _SUMMED or not _all_of(values, int):
        return False
    kinds = set(values)
    return len(kinds) <= MOST_KINDS and min(kinds) >= -LARGEST and max(kinds) <= LARGEST


def _all_of(values: Sequence[Any], *kinds: type) -> bool:
    """Whether all are of exactly these types: True is not a label's index, although it is an int to Python."""
    return set(map(type, values)) <= set(kinds)


# Scores of sums: [examples, k] summands, and the function from their sums to the score.


def _without(summands: Floats, score: Score) -> tuple[float, Floats]:
    total = summands.sum(axis=0)
    return float(score(total)), score(total - summands)


def _accuracy(predictions: Values, references: Values) -> tuple[Floats, Score]:
    right = predictions == references
    return np.stack([right, np.ones(len(right))], axis=1).astype(float), lambda s: s[..., 0] / s[..., 1]


def _f1(predictions: Values, references: Values) -> tuple[Floats, Score]:
    answered, true = predictions == 1, references == 1
    return np.stack([answered & true, answered, true], axis=1).astype(float), _harmonic


def _harmonic(sums: Floats) -> Floats:
    """F1 from hits, answers and truths: [..., 3]; 0 where there is neither answer nor truth."""
    both = sums[..., 1] + sums[..., 2]
    return np.divide(2 * sums[..., 0], both, out=np.zeros_like(both), where=both > 0)


def _matthews(predictions: Values, references: Values) -> tuple[Floats, Score]:
    """Gorodkin's R_K, which for two classes is Matthews'; 0 for constant answers, as in scikit-learn."""
    kinds = np.union1d(predictions, references)
    answered, true = predictions[:, None] == kinds, references[:, None] == kinds
    right = predictions == references
    size = len(kinds)

    def score(sums: Floats) -> Floats:
        hits, count, answers, truths = sums[..., 0], sums[..., 1], sums[..., 2 : 2 + size], sums[..., 2 + size :]
        covariance = hits * count - (answers * truths).sum(-1)
        scale = np.sqrt((count**2 - (answers**2).sum(-1)) * (count**2 - (truths**2).sum(-1)))
        return np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)

    return np.column_stack([right, np.ones(len(right)), answered, true]).astype(float), score


def _f1_accuracy_mean(predictions: Values, references: Values) -> tuple[Floats, Score]:
    (first, f1), (second, accuracy) = _f1(predictions, references), _accuracy(predictions, references)
    split = first.shape[1]
    return np.hstack([first, second]), lambda s: (f1(s[..., :split]) + accuracy(s[..., split:])) / 2


def _entity_f1(predictions: Sequence[Any], references: Sequence[Any], labels: tuple[str, ...]) -> tuple[Floats, Score]:
    counts = []
    for answer, truth in zip(predictions, references, strict=True):
        true = _spans(tuple(truth), labels)
        found = true if answer == truth else _spans(tuple(answer), labels)
        counts.append([len(found & true), len(found), len(true)])
    return np.array(counts, dtype=float), _harmonic


@lru_cache(maxsize=65_536)  # records of one task share their references, and most predictions are right
def _spans(row: tuple[int, ...], labels: tuple[str, ...]) -> frozenset[tuple[str, int, int]]:
    """The entities in a row of labels' indices: type, first word, and the word after the last."""
    starts, ends, types = _span_rules(labels)
    found, first, before = [], 0, len(labels)
    for at, label in enumerate((*row, -1)):
        if ends[before][label]:
            found.append((types[before], first, at))
        if starts[before][label]:
            first = at
        before = label
    return frozenset(found)


@lru_cache(maxsize=64)
def _span_rules(labels: tuple[str, ...]) -> tuple[list[list[bool]], list[list[bool]], list[str]]:
    """seqeval's rules: whether an entity starts between two labels, whether one ends, [before, label], and its type.

    After the labels come what is before the first word, and, at -1, words outside of entities or cut off.
    """
    from seqeval.metrics.sequence_labeling import end_of_chunk, start_of_chunk  # imports pandas, a second

    tags = [(label[0], label[1:].split("-", maxsplit=1)[-1] or "_") for label in labels] + [("O", ""), ("O", "_")]
    starts, ends = (
        [[rule(tag, other, kind, of_other) for other, of_other in tags] for tag, kind in tags]
        for rule in (start_of_chunk, end_of_chunk)
    )
    return starts, ends, [kind for _, kind in tags]


def _pearson(predictions: Values, references: Values) -> tuple[Floats, Score]:
    # Centred first: the sums of squares of numbers far from zero would lose the digits that matter.
    x, y = (values - np.mean(values) for values in (predictions, references))
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1), _correlation_of_sums


def _correlation_of_sums(sums: Floats) -> Floats:
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    scale = np.sqrt(np.maximum((count * xx - x * x) * (count * yy - y * y), 0))
    return np.divide(count * xy - x * y, scale, out=np.full_like(scale, np.nan), where=scale > 0)


_SUMMED = {"accuracy": _accuracy, "f1": _f1, "matthews": _matthews, "f1_accuracy_mean": _f1_accuracy_mean}


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


def _spearman(x: Floats, y: Floats) -> tuple[float, Floats]:
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


def _pearson_spearman_mean(x: Floats, y: Floats) -> tuple[float, Floats]:
    (spearman, without), (pearson, others) = _spearman(x, y), _without(*_pearson(x, y))
    return (spearman + pearson) / 2, (without + others) / 2


_RANKED = {"spearman": _spearman, "pearson_spearman_mean": _pearson_spearman_mean}
