"""Correlations of the predicted numbers with the right ones; undefined for a constant."""

from __future__ import annotations

import math
from typing import Any

from bench.plugins import Metric


class Pearson(Metric):
    name = "pearson"
    bounds = (-1, 1)
    summary = "Pearson's correlation"
    kinds = ("regression",)
    companions = ("spearman", "mse")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from scipy import stats

        return math.nan if _constant(predictions, references) else float(stats.pearsonr(references, predictions)[0])

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import columns, correlation_of_sums

        # Centred first: the sums of squares of numbers far from zero would lose the digits that matter.
        x, y = (np.asarray(values) - np.mean(values) for values in (predictions, references))
        return columns(1, x, y, x * x, y * y, x * y), correlation_of_sums


class Spearman(Metric):
    name = "spearman"
    bounds = (-1, 1)
    summary = "Spearman's rank correlation"
    kinds = ("regression",)
    companions = ("pearson", "mse")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from scipy import stats

        return math.nan if _constant(predictions, references) else float(stats.spearmanr(references, predictions)[0])

    def leave_one_out(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import spearman

        return spearman(np.asarray(predictions, dtype=float), np.asarray(references, dtype=float))


class PearsonSpearmanMean(Metric):
    name = "pearson_spearman_mean"
    bounds = (-1, 1)
    summary = "mean of Pearson's and Spearman's correlation (GLUE)"
    kinds = ("regression",)
    companions = ("pearson", "spearman", "mse")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        return sum(each().compute(predictions, references, labels) for each in (Pearson, Spearman)) / 2

    def leave_one_out(self, predictions: Any, references: Any, labels: Any) -> Any:
        found = [each().leave_one_out(predictions, references, labels) for each in (Pearson, Spearman)]
        return [sum(parts) / 2 for parts in zip(*found, strict=True)]


def _constant(predictions: Any, references: Any) -> bool:
    return min(predictions) == max(predictions) or min(references) == max(references)
