"""Scores, as `evaluate.Metric` objects built in process on scikit-learn, scipy and seqeval.

Nothing is downloaded: `evaluate.load` would fetch a script from a hub for each of these. The table of
names is importable without any of those libraries; they are loaded when a score is computed.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.plugins.task import Kind

Prediction = int | float | list[int]


@dataclass(frozen=True)
class MetricInfo:
    """A metric's column value and how to read it.

    kind is that of the tasks that it scores. higher_is_better gives its direction. companions are reported
    beside it, from the same predictions.
    """

    summary: str
    kind: Kind = "classification"
    higher_is_better: bool = True
    companions: tuple[str, ...] = ()


METRICS: dict[str, MetricInfo] = {
    "accuracy": MetricInfo("share of examples answered right", companions=("f1_macro",)),
    "f1": MetricInfo("F1 of label 1", companions=("accuracy",)),
    "matthews": MetricInfo("Matthews correlation coefficient", companions=("accuracy", "f1")),
    "f1_accuracy_mean": MetricInfo("mean of the F1 of label 1 and accuracy (GLUE)", companions=("f1", "accuracy")),
    "spearman": MetricInfo("Spearman's rank correlation", "regression", companions=("pearson", "mse")),
    "pearson_spearman_mean": MetricInfo(
        "mean of Pearson's and Spearman's correlation (GLUE)", "regression", companions=("pearson", "spearman", "mse")
    ),
    "entity_f1": MetricInfo(
        "micro F1 over exact entity spans (seqeval, the CoNLL rule)",
        "token-classification",
        companions=("entity_precision", "entity_recall", "token_accuracy"),
    ),
}


def score(
    metric: str, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str]
) -> dict[str, float | None]:
    """The metric and its companions over one split.

    predictions and references hold a class index, a number, or a list of label indices (one a word; -1
    where the word was cut off and so has no answer) an example. A score that is not defined, such as
    the correlation of a constant, or the mean of such a one and another, is None.
    """
    if len(predictions) != len(references) or not references:
        raise ValueError(f"{len(predictions)} predictions do not match {len(references)} references")
    if METRICS[metric].kind == "token-classification":
        predictions = [[_tag(labels, index) for index in row] for row in predictions]
        references = [[_tag(labels, index) for index in row] for row in references]
    found = _evaluate_metric(metric).compute(predictions=predictions, references=references)
    names = (metric, *METRICS[metric].companions)
    return {name: None if math.isnan(found[name]) else float(found[name]) for name in names}


def constant_answer(
    metric: str, train: Sequence[Any], references: Sequence[Any], labels: Sequence[str]
) -> float | None:
    """The metric's value for the best answer that does not look at the input.

    That is the most frequent label of the training split (a word's, for token classification), or the
    training mean of a regression.
    """
    kind = METRICS[metric].kind
    if kind == "token-classification":
        common = Counter(index for row in train for index in row).most_common(1)[0][0]
        constant: list[Any] = [[common] * len(row) for row in references]
    elif kind == "regression":
        constant = [statistics.fmean(train)] * len(references)
    else:
        constant = [Counter(train).most_common(1)[0][0]] * len(references)
    return score(metric, constant, references, labels)[metric]


def _tag(labels: Sequence[str], index: int) -> str:
    return labels[index] if index >= 0 else "O"


@cache
def _evaluate_metric(metric: str) -> Any:
    import datasets
    import evaluate

    kind = METRICS[metric].kind
    value = datasets.Value({"classification": "int64", "regression": "float64", "token-classification": "string"}[kind])
    one = datasets.Sequence(value) if kind == "token-classification" else value

    class InProcess(evaluate.Metric):
        def _info(self) -> Any:
            return evaluate.MetricInfo(
                description=METRICS[metric].summary,
                citation="",
                features=datasets.Features({"predictions": one, "references": one}),
            )

        def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
            return _COMPUTE[metric](predictions, references)

    return InProcess(config_name=metric, keep_in_memory=True)


def _classification(predictions: Any, references: Any) -> dict[str, float]:
    from sklearn import metrics

    return {
        "accuracy": metrics.accuracy_score(references, predictions),
        "f1_macro": metrics.f1_score(references, predictions, average="macro", zero_division=0),
    }


def _binary(predictions: Any, references: Any) -> dict[str, float]:
    from sklearn import metrics

    accuracy = metrics.accuracy_score(references, predictions)
    f1 = metrics.f1_score(references, predictions, zero_division=0)
    return {
        "accuracy": accuracy,
        "f1": f1,
        "f1_accuracy_mean": (f1 + accuracy) / 2,
        "matthews": metrics.matthews_corrcoef(references, predictions),
    }


def _correlation(predictions: Any, references: Any) -> dict[str, float]:
    import numpy as np
    from scipy import stats

    constant = np.ptp(predictions) == 0 or np.ptp(references) == 0
    spearman = math.nan if constant else stats.spearmanr(references, predictions).statistic
    pearson = math.nan if constant else stats.pearsonr(references, predictions).statistic
    return {
        "spearman": spearman,
        "pearson": pearson,
        "pearson_spearman_mean": (pearson + spearman) / 2,
        "mse": float(np.mean((np.asarray(references) - np.asarray(predictions)) ** 2)),
    }


def _entities(predictions: Any, references: Any) -> dict[str, float]:
    from seqeval import metrics

    return {
        "entity_f1": metrics.f1_score(references, predictions, zero_division=0),
        "entity_precision": metrics.precision_score(references, predictions, zero_division=0),
        "entity_recall": metrics.recall_score(references, predictions, zero_division=0),
        "token_accuracy": metrics.accuracy_score(references, predictions),
    }


_COMPUTE = {
    "accuracy": _classification,
    "f1": _binary,
    "f1_accuracy_mean": _binary,
    "matthews": _binary,
    "spearman": _correlation,
    "pearson_spearman_mean": _correlation,
    "entity_f1": _entities,
}
