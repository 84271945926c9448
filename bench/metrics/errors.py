"""How far predicted numbers are from the right ones."""

from __future__ import annotations

import math
from typing import Any

from bench.plugins import Metric


class MeanAbsoluteError(Metric):
    name = "mae"
    bounds = (0, math.inf)
    summary = "mean absolute error"
    kinds = ("regression",)
    higher_is_better = False
    companions = ("rmse", "spearman")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        return float(metrics.mean_absolute_error(references, predictions))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import columns, share_of

        return columns(np.abs(np.subtract(predictions, references)), 1), share_of


class MeanSquaredError(Metric):
    name = "mse"
    bounds = (0, math.inf)
    summary = "mean squared error"
    kinds = ("regression",)
    higher_is_better = False
    companions = ("mae", "spearman")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        return float(metrics.mean_squared_error(references, predictions))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import columns, share_of

        return columns(np.subtract(predictions, references) ** 2, 1), share_of


class RootMeanSquaredError(MeanSquaredError):
    name = "rmse"
    bounds = (0, math.inf)
    summary = "root of the mean squared error"

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        return float(super().compute(predictions, references, labels) ** 0.5)

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        summands, mean = super().sums(predictions, references, labels)
        return summands, lambda sums: np.sqrt(mean(np.maximum(sums, 0)))  # a difference of sums may be just below 0


class R2(Metric):
    """Undefined where all right answers are one number."""

    name = "r2"
    bounds = (-math.inf, 1)
    summary = "coefficient of determination: share of the variance that is explained"
    kinds = ("regression",)
    companions = ("rmse", "spearman")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        constant = min(references) == max(references)
        return float("nan") if constant else float(metrics.r2_score(references, predictions))

    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        import numpy as np

        from bench.stats.per_example import columns

        def score(sums: Any) -> Any:
            count, y, yy, squares = np.moveaxis(sums, -1, 0)
            spread = yy - y * y / count
            return 1 - np.divide(squares, spread, out=np.full_like(spread, np.nan), where=spread > 0)

        y = np.asarray(references) - np.mean(references)  # centred: see Pearson's correlation
        return columns(1, y, y * y, np.subtract(predictions, references) ** 2), score
