"""The share of examples that are answered correctly."""

from __future__ import annotations

from typing import Any

from bench.plugins import Metric


class Accuracy(Metric):
    name = "accuracy"
    summary = "share of examples answered correctly"
    kinds = ("classification",)
    companions = ("f1_macro",)

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        return float(metrics.accuracy_score(references, predictions))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        from bench.stats.per_example import columns, share_of

        return columns([one == other for one, other in zip(predictions, references, strict=True)], 1), share_of


class SubsetAccuracy(Metric):
    name = "subset_accuracy"
    summary = "share of examples with exactly the right labels"
    kinds = ("multi-label",)
    companions = ("f1_micro", "f1_macro")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        from bench.stats.per_example import indicators

        return float(metrics.accuracy_score(*(indicators(rows, len(labels)) for rows in (references, predictions))))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        return Accuracy().sums(predictions, references, labels)


class BalancedAccuracy(Metric):
    name = "balanced_accuracy"
    summary = "mean over the classes of the share of their examples answered correctly"
    kinds = ("classification",)
    companions = ("accuracy",)

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        return float(metrics.recall_score(references, predictions, labels=sorted(set(references)), average="macro"))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import by_class, hits_answers_truths, mean_where

        def score(sums: Any) -> Any:
            hits, _, true = np.moveaxis(by_class(sums), -1, 0)
            return mean_where(hits / np.maximum(true, 1), true > 0)

        return hits_answers_truths(predictions, references, labels), score
