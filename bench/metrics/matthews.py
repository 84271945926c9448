"""The correlation of the answers with the right ones."""

from __future__ import annotations

from typing import Any

from bench.plugins import Metric


class Matthews(Metric):
    """For more than two classes Gorodkin's R_K; 0 for constant answers, as in scikit-learn."""

    name = "matthews"
    bounds = (-1, 1)
    summary = "Matthews correlation coefficient"
    kinds = ("classification",)
    companions = ("accuracy", "f1")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        return float(metrics.matthews_corrcoef(references, predictions))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import by_class, hits_answers_truths

        def score(sums: Any) -> Any:
            hits, answers, truths = np.moveaxis(by_class(sums), -1, 0)
            count = truths.sum(-1)
            covariance = hits.sum(-1) * count - (answers * truths).sum(-1)
            scale = np.sqrt((count**2 - (answers**2).sum(-1)) * (count**2 - (truths**2).sum(-1)))
            return np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)

        return hits_answers_truths(predictions, references, labels), score
