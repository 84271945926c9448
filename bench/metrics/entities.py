"""Exact entity spans (seqeval, the CoNLL rule), from tags in BIO.

A word that was cut off is outside of every entity.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from bench.plugins import Metric


class _Entities(Metric):
    kinds = ("token-classification",)

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        from bench.stats.per_example import columns

        counts, names = [], tuple(labels)
        for answer, truth in zip(predictions, references, strict=True):
            true = spans(tuple(truth), names)
            found = true if answer == truth else spans(tuple(answer), names)
            counts.append((len(found & true), len(found), len(true)))
        return columns(*zip(*counts, strict=True)), self.of_counts

    def refuses(self, labels: Any) -> str | None:
        for name in labels:
            if name != "O" and name[:2] not in ("B-", "I-"):
                return (
                    f"the label {name!r} is none of O, B-..., I-..., by which {self.name} scores entities: "
                    "bench.plugins.tags.to_bio converts BIOES and BILOU, and the metrics token_accuracy and "
                    "token_f1_macro score tags of any kind"
                )
            if name[:2] == "I-" and f"B-{name[2:]}" not in labels:
                return (
                    f"the label {name!r} continues an entity that no label begins: bench.plugins.tags.to_bio converts "
                    "IOB1"
                )
        return None

    def of_counts(self, counts: Any) -> Any:
        """The score from the spans that are right, that are found, and that are there: [..., 3]."""
        raise NotImplementedError


class EntityF1(_Entities):
    name = "entity_f1"
    summary = "micro F1 over exact entity spans (seqeval, the CoNLL rule)"
    companions = ("entity_precision", "entity_recall", "token_accuracy")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from seqeval import metrics

        return float(metrics.f1_score(*_named(references, predictions, labels), zero_division=0))

    def of_counts(self, counts: Any) -> Any:
        from bench.stats.per_example import harmonic

        return harmonic(counts)


class EntityPrecision(_Entities):
    name = "entity_precision"
    summary = "share of the spans found that are right"
    companions = ("entity_recall", "entity_f1")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from seqeval import metrics

        return float(metrics.precision_score(*_named(references, predictions, labels), zero_division=0))

    def of_counts(self, counts: Any) -> Any:
        return _over(counts, 1)


class EntityRecall(_Entities):
    name = "entity_recall"
    summary = "share of the right spans that are found"
    companions = ("entity_precision", "entity_f1")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from seqeval import metrics

        return float(metrics.recall_score(*_named(references, predictions, labels), zero_division=0))

    def of_counts(self, counts: Any) -> Any:
        return _over(counts, 2)


def _over(sums: Any, at: int) -> Any:
    import numpy as np

    return np.divide(sums[..., 0], sums[..., at], out=np.zeros(sums.shape[:-1]), where=sums[..., at] > 0)


def _named(references: Any, predictions: Any, labels: Any) -> list[list[list[str]]]:
    names = [*labels, "O"]  # at -1
    return [[[names[index] for index in row] for row in rows] for rows in (references, predictions)]


@lru_cache(maxsize=65_536)  # records of one task share their references, and most predictions are right
def spans(row: tuple[int, ...], labels: tuple[str, ...]) -> frozenset[tuple[str, int, int]]:
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
