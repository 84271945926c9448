"""What each test example contributes to a score, so that two methods can be compared example by example.

For accuracy that is plain: 1 or 0, and the score is their mean. F1, Matthews or a rank correlation is no mean over
examples; there the contribution is the jackknife's pseudo-value, m * score - (m - 1) * (score without the example)
(Tukey 1958; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11). Of accuracy it is the 1 or
0 itself, and for the others the spread of pseudo-values gives the score's standard error as a bootstrap over
examples does, without random numbers and at the cost of one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain, combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]  # from sums over examples, [..., k], to scores, [...]; nan where undefined

BLOCK = 2_000_000  # entries of a rank matrix that are held at a time
MOST_RANKED = 50_000  # examples: leaving each out of the ranks takes time with their square
LARGEST = 10**15  # a number or an index: sums of squares of it are numbers still
MOST_KINDS = 1_000  # labels of a classification: a table of examples by labels is made


def contributions(
    metric: str, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str] | None
) -> Floats | None:
    """The contribution of each example to `metric`: [examples]. None where it is not defined.

    predictions and references are as records hold them (see `metrics.score`); labels name the indices of a
    token classification. Not defined: fewer than two examples, a score that is undefined with or without any one of
    them, labels that are not known, what are no answers to this metric's question (a record may come from anywhere),
    more examples than can be gone through.
    """
    count = len(references)
    if count < 2 or len(predictions) != count or not _are_answers(metric, [*predictions, *references], labels):
        return None
    if metric in _RANKED:
        whole, without = _ranked(metric, predictions, references)
    else:
        summands, score = _SUMMED[metric](predictions, references, labels)
        total = summands.sum(axis=0)
        whole, without = float(score(total)), score(total - summands)
    found: Floats = count * whole - (count - 1) * without
    return found if np.isfinite(found).all() else None


def _are_answers(metric: str, answers: Sequence[Any], labels: Sequence[str] | None) -> bool:
    """Whether these are what `metrics` scores under that name: indices of labels, numbers, or rows of indices."""
    if metric in _RANKED:
        few = len(answers) <= 2 * MOST_RANKED
        return few and _all_of(answers, int, float) and min(answers) >= -LARGEST and max(answers) <= LARGEST
    if metric == "entity_f1":
        if not labels or not all(labels) or not _all_of(answers, list):
            return False
        indices = list(chain.from_iterable(answers))
        return not indices or (_all_of(indices, int) and min(indices) >= -1 and max(indices) < len(labels))
    if metric not in _SUMMED or not _all_of(answers, int):
        return False
    return len(set(answers)) <= MOST_KINDS and min(answers) >= -LARGEST and max(answers) <= LARGEST


def _all_of(values: Sequence[Any], *kinds: type) -> bool:
    """Whether all are of these very types: True is no index of a label, though Python takes it for 1."""
    return set(map(type, values)) <= set(kinds)


def score_of_all(
    metric: str, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str] | None
) -> float:
    """The score itself as this module computes it; the tests hold it to `bench.plugins.metrics.score`."""
    if metric in _RANKED:
        return _ranked(metric, predictions, references)[0]
    summands, score = _SUMMED[metric](predictions, references, labels)
    return float(score(summands.sum(axis=0)))


# Scores of sums: [examples, k] summands, and what makes a score of their sums.


def _accuracy(predictions: Any, references: Any, labels: Any) -> tuple[Floats, Score]:
    right = np.asarray(predictions) == np.asarray(references)
    return np.stack([right, np.ones(len(right))], axis=1).astype(float), lambda s: s[..., 0] / s[..., 1]


def _f1(predictions: Any, references: Any, labels: Any) -> tuple[Floats, Score]:
    answered, true = np.asarray(predictions) == 1, np.asarray(references) == 1
    return np.stack([answered & true, answered, true], axis=1).astype(float), _harmonic


def _harmonic(sums: Floats) -> Floats:
    """F1 from hits, answers and truths: [..., 3]; 0 where there is neither answer nor truth."""
    both = sums[..., 1] + sums[..., 2]
    return np.divide(2 * sums[..., 0], both, out=np.zeros_like(both), where=both > 0)


def _matthews(predictions: Any, references: Any, labels: Any) -> tuple[Floats, Score]:
    """Gorodkin's R_K, of which the two-class coefficient is a case; 0 for constant answers, as scikit-learn has it."""
    kinds = np.union1d(predictions, references)
    answered = np.asarray(predictions)[:, None] == kinds
    true = np.asarray(references)[:, None] == kinds
    right = np.asarray(predictions) == np.asarray(references)
    size = len(kinds)

    def score(sums: Floats) -> Floats:
        hits, count, answers, truths = sums[..., 0], sums[..., 1], sums[..., 2 : 2 + size], sums[..., 2 + size :]
        covariance = hits * count - (answers * truths).sum(-1)
        scale = np.sqrt((count**2 - (answers**2).sum(-1)) * (count**2 - (truths**2).sum(-1)))
        return np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)

    return np.column_stack([right, np.ones(len(right)), answered, true]).astype(float), score


def _f1_accuracy_mean(predictions: Any, references: Any, labels: Any) -> tuple[Floats, Score]:
    (first, f1), (second, accuracy) = _f1(predictions, references, labels), _accuracy(predictions, references, labels)
    split = first.shape[1]
    return np.hstack([first, second]), lambda s: (f1(s[..., :split]) + accuracy(s[..., split:])) / 2


def _entity_f1(predictions: Any, references: Any, labels: Any) -> tuple[Floats, Score]:
    names = tuple(labels)
    pairs = [
        (_spans(tuple(answer), names), _spans(tuple(truth), names))
        for answer, truth in zip(predictions, references, strict=True)
    ]
    counts = [[len(answer & truth), len(answer), len(truth)] for answer, truth in pairs]
    return np.array(counts, dtype=float), _harmonic


@lru_cache(maxsize=65_536)  # of the same test set, the right answers come again and again, and right answers to it
def _spans(row: tuple[int, ...], labels: tuple[str, ...]) -> frozenset[Any]:
    from seqeval.metrics.sequence_labeling import get_entities

    return frozenset(get_entities([labels[index] if index >= 0 else "O" for index in row]))


def _pearson(predictions: Any, references: Any, labels: Any) -> tuple[Floats, Score]:
    # Centred first: the sums of squares of numbers far from zero would lose the digits that matter.
    x, y = (np.asarray(values, dtype=float) - np.mean(values) for values in (predictions, references))
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1), _correlation_of_sums


def _correlation_of_sums(sums: Floats) -> Floats:
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    scale = np.sqrt(np.maximum((count * xx - x * x) * (count * yy - y * y), 0))
    return np.divide(count * xy - x * y, scale, out=np.full_like(scale, np.nan), where=scale > 0)


_SUMMED: dict[str, Callable[[Any, Any, Any], tuple[Floats, Score]]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
    "f1_accuracy_mean": _f1_accuracy_mean,
    "entity_f1": _entity_f1,
    "pearson": _pearson,
}


# Scores of ranks, which move for all examples when one is left out.


def _ranked(metric: str, predictions: Any, references: Any) -> tuple[float, Floats]:
    """The score of all examples, and the scores without each one."""
    spearman, without = _spearman(np.asarray(predictions, dtype=float), np.asarray(references, dtype=float))
    if metric == "spearman":
        return spearman, without
    summands, score = _pearson(predictions, references, None)
    total = summands.sum(axis=0)
    return (spearman + float(score(total))) / 2, (without + score(total - summands)) / 2


_RANKED = ("spearman", "pearson_spearman_mean")


def _spearman(x: Floats, y: Floats) -> tuple[float, Floats]:
    """Without an example, whatever was larger moves down by one rank, whatever was equal by a half.

    So the sums of squares and products without it are those of all, less what these moves take away. Ranks are
    multiples of a half: no sum here is rounded.
    """
    from scipy.stats import rankdata

    count, ranks = len(x), (rankdata(x), rankdata(y))
    whole = float(_correlation_of_ranks(count, *(np.array(a @ b) for a, b in combinations_with_replacement(ranks, 2))))
    without = np.empty(count)
    most = max(1, BLOCK // count)
    for start in range(0, count, most):
        out = np.arange(start, min(count, start + most))
        moves = [(v > v[out, None]) + 0.5 * (v == v[out, None]) for v in (x, y)]
        for move in moves:
            move[np.arange(len(out)), out] = 0
        left = [
            a @ b - a[out] * b[out] - move_a @ b - move_b @ a + np.einsum("ij,ij->i", move_a, move_b)
            for (a, move_a), (b, move_b) in combinations_with_replacement(zip(ranks, moves, strict=True), 2)
        ]
        without[out] = _correlation_of_ranks(count - 1, *left)
    return whole, without


def _correlation_of_ranks(count: int, xx: Floats, xy: Floats, yy: Floats) -> Floats:
    """Pearson's correlation of the ranks 1 to `count`, ties at their mean, from sums of squares and products."""
    mean_square = count * ((count + 1) / 2) ** 2
    scale = np.sqrt((xx - mean_square) * (yy - mean_square))
    return np.divide(xy - mean_square, scale, out=np.full_like(scale, np.nan), where=scale > 0)
