"""F1: of label 1, and averaged over classes or labels."""

from __future__ import annotations

from typing import Any, ClassVar

from bench.plugins import Metric


class F1(Metric):
    name = "f1"
    summary = "F1 of label 1"
    kinds = ("classification",)
    binary = True
    companions = ("accuracy",)

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        return float(metrics.f1_score(references, predictions, zero_division=0))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import columns, harmonic

        answered, true = np.equal(predictions, 1), np.equal(references, 1)
        return columns(answered & true, answered, true), harmonic


class F1AccuracyMean(Metric):
    name = "f1_accuracy_mean"
    summary = "mean of the F1 of label 1 and accuracy (GLUE)"
    kinds = ("classification",)
    binary = True
    companions = ("f1", "accuracy")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        f1 = F1().compute(predictions, references, labels)
        return float(f1 + metrics.accuracy_score(references, predictions)) / 2

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import columns, share_of

        summands, f1 = F1().sums(predictions, references, labels)
        right = columns(np.equal(predictions, references), 1)
        return np.hstack([summands, right]), lambda sums: (f1(sums[..., :3]) + share_of(sums[..., 3:])) / 2


class _Average(Metric):
    """As scikit-learn: of class indices, over the classes that occur; of lists of labels, over all labels."""

    kinds = ("classification", "multi-label")
    companions = ("accuracy", "subset_accuracy")
    average: ClassVar[str]

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        if isinstance(references[0], list):
            from bench.stats.per_example import indicators

            predictions, references = (indicators(rows, len(labels)) for rows in (predictions, references))
        return float(metrics.f1_score(references, predictions, average=self.average, zero_division=0))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        from bench.stats.per_example import by_class, hits_answers_truths

        every = isinstance(references[0], list)
        summands = hits_answers_truths(predictions, references, labels)
        return summands, lambda sums: self.of_classes(by_class(sums), every)

    def of_classes(self, sums: Any, every: bool) -> Any:
        """The average from hits, answers and truths, [..., classes, 3]; every: also over classes without any."""
        raise NotImplementedError


class F1Macro(_Average):
    name = "f1_macro"
    summary = "mean of the F1 of each class or label"
    average = "macro"

    def of_classes(self, sums: Any, every: bool) -> Any:
        from bench.stats.per_example import harmonic, mean_where

        return mean_where(harmonic(sums), (sums[..., 1:].sum(-1) > 0) | every)


class F1Weighted(_Average):
    name = "f1_weighted"
    summary = "mean of the F1 of each class or label, weighted by how often it holds"
    average = "weighted"

    def of_classes(self, sums: Any, every: bool) -> Any:
        import numpy as np

        from bench.stats.per_example import harmonic

        true = sums[..., 2]
        return (harmonic(sums) * true).sum(-1) / np.maximum(true.sum(-1), 1)


class F1Micro(_Average):
    name = "f1_micro"
    summary = "F1 over all decisions; for one class an example, accuracy"
    average = "micro"

    def of_classes(self, sums: Any, every: bool) -> Any:
        from bench.stats.per_example import harmonic

        return harmonic(sums.sum(-2))
