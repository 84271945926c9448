"""The area under the ROC curve: how well probabilities rank, whatever the threshold."""

from __future__ import annotations

import math
from typing import Any

from bench.plugins import Metric


class Auroc(Metric):
    """Of label 1; of more classes, and of several labels, the mean of each against the rest.

    A label that no example has, or that all have, is left out of the mean.
    """

    name = "auroc"
    summary = "area under the ROC curve; of more than two labels the mean of each against the rest"
    kinds = ("classification", "multi-label")
    of_probabilities = True
    companions = ("accuracy", "f1_macro", "subset_accuracy")

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        from sklearn import metrics

        columns = zip(*_columns(predictions, references), strict=True)
        found = [metrics.roc_auc_score(true, given) for given, true in columns if 0 < sum(true) < len(true)]
        return sum(found) / len(found) if found else math.nan

    def leave_one_out(self, predictions: Any, references: Any, labels: Any) -> Any:
        """A score is the share of pairs, one with a label and one without, that are in order; ties are halves."""
        import numpy as np

        of_all, without = [], []
        for given, true in zip(*_columns(predictions, references), strict=True):
            having, others = np.sort(given[true]), np.sort(given[~true])
            below, up_to = (np.searchsorted(others, given, side) for side in ("left", "right"))
            beaten = (below + up_to) / 2  # of those without the label, by one with it
            below, up_to = (np.searchsorted(having, given, side) for side in ("left", "right"))
            won = np.where(true, beaten, len(having) - (below + up_to) / 2)
            total, pairs = beaten[true].sum(), len(having) * len(others)
            left = pairs - np.where(true, len(others), len(having))
            of_all.append(np.divide(total, pairs) if pairs else math.nan)
            without.append(np.divide(total - won, left, out=np.full(len(given), math.nan), where=left > 0))
        return float(_mean(np.array(of_all))), _mean(np.array(without))


def _columns(predictions: Any, references: Any) -> tuple[Any, Any]:
    """The probability of each label, and whether it holds, [labels, examples]; for two classes, of label 1 alone."""
    import numpy as np

    from bench.stats.per_example import indicators

    given = np.array(predictions, dtype=float)
    if given.ndim == 1:
        return given[None], np.equal(references, 1)[None]
    several = isinstance(references[0], list)
    true = indicators(references if several else [[label] for label in references], given.shape[1])
    return given.T, true.T


def _mean(values: Any) -> Any:
    """Over the first axis, without what is undefined."""
    import numpy as np

    known = ~np.isnan(values)
    count = known.sum(0)
    return np.divide(np.where(known, values, 0).sum(0), count, out=np.full(count.shape, math.nan), where=count > 0)
