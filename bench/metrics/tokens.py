"""Words one by one, whatever their tags say.

A word that was cut off counts as answered with "O" where that is a label, else as wrong.
"""

from __future__ import annotations

from typing import Any

from bench.plugins import Metric


class TokenAccuracy(Metric):
    name = "token_accuracy"
    summary = "share of words tagged correctly"
    kinds = ("token-classification",)
    companions = ("token_f1_macro",)

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        return float(metrics.accuracy_score(_flat(references, labels), _flat(predictions, labels)))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import columns, share_of

        sizes = [len(row) for row in references]
        right = np.equal(_flat(predictions, labels), _flat(references, labels))
        by_example = np.bincount(np.repeat(np.arange(len(sizes)), sizes), weights=right, minlength=len(sizes))
        return columns(by_example, sizes), share_of


class TokenF1Macro(Metric):
    """Over the tags that occur."""

    name = "token_f1_macro"
    summary = "mean of the F1 of each tag, word by word"
    kinds = ("token-classification",)
    companions = ("token_accuracy",)

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        answers, truths = _flat(predictions, labels), _flat(references, labels)
        occurring = sorted({*answers, *truths} - {-1})
        return float(metrics.f1_score(truths, answers, labels=occurring, average="macro", zero_division=0))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import by_class, harmonic, mean_where, require_room

        examples, classes = len(references), len(labels)
        require_room(examples, classes)
        rows = np.repeat(np.arange(examples), [len(row) for row in references])
        answers, truths = np.array(_flat(predictions, labels)), np.array(_flat(references, labels))

        def counts(tags: Any, where: Any) -> Any:
            at = rows[where] * classes + tags[where]
            return np.bincount(at, minlength=examples * classes).reshape(examples, classes)

        hits = counts(answers, (answers == truths) & (truths >= 0))
        summands = np.hstack([hits, counts(answers, answers >= 0), counts(truths, truths >= 0)]).astype(float)

        def score(sums: Any) -> Any:
            each = by_class(sums)
            return mean_where(harmonic(each), each[..., 1:].sum(-1) > 0)

        return summands, score


def _flat(rows: Any, labels: Any) -> list[int]:
    cut_off = list(labels).index("O") if "O" in labels else -1
    return [cut_off if index < 0 else index for row in rows for index in row]
