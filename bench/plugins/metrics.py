"""Scores, as `evaluate.Metric` objects built in process on scikit-learn, scipy and seqeval.

A metric is one entry of METRICS. Nothing is downloaded: `evaluate.load` would fetch a script from a hub for each of
these. The libraries are imported when a score is computed, not before.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.plugins.task import Kind


@dataclass(frozen=True)
class Metric:
    """How predictions become a score.

    compute takes the predictions and the references of one split (tags by name for token classification) and gives
    the metric and its companions by name, nan where one is undefined. kind is that of the tasks that it scores.
    companions are reported beside it. binary: it is defined for two labels alone.
    """

    summary: str
    compute: Callable[[Sequence[Any], Sequence[Any]], dict[str, float]]
    kind: Kind = "classification"
    higher_is_better: bool = True
    companions: tuple[str, ...] = ()
    binary: bool = False


def score(
    metric: str, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str]
) -> dict[str, float | None]:
    """The metric and its companions over one split.

    predictions and references hold for each example a class index, a number, or a list of label indices (one for
    each word; -1 where the word was cut off and so has no answer). An undefined score, such as the correlation of a
    constant, or a mean that includes one, is None.
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
    """The metric's value for the best answer that ignores the input.

    That is the most frequent label of the training split (of a word, for token classification), or the training
    mean of a regression.
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
def _evaluate_metric(name: str) -> Any:
    import datasets
    import evaluate

    metric = METRICS[name]
    value = datasets.Value(
        {"classification": "int64", "regression": "float64", "token-classification": "string"}[metric.kind]
    )
    one = datasets.Sequence(value) if metric.kind == "token-classification" else value

    class InProcess(evaluate.Metric):
        def _info(self) -> Any:
            features = datasets.Features({"predictions": one, "references": one})
            return evaluate.MetricInfo(description=metric.summary, citation="", features=features)

        def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
            return metric.compute(predictions, references)

    return InProcess(config_name=name, keep_in_memory=True)


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


METRICS: dict[str, Metric] = {
    "accuracy": Metric("share of examples answered correctly", _classification, companions=("f1_macro",)),
    "f1": Metric("F1 of label 1", _binary, companions=("accuracy",), binary=True),
    "matthews": Metric("Matthews correlation coefficient", _binary, companions=("accuracy", "f1"), binary=True),
    "f1_accuracy_mean": Metric(
        "mean of the F1 of label 1 and accuracy (GLUE)", _binary, companions=("f1", "accuracy"), binary=True
    ),
    "spearman": Metric("Spearman's rank correlation", _correlation, "regression", companions=("pearson", "mse")),
    "pearson_spearman_mean": Metric(
        "mean of Pearson's and Spearman's correlation (GLUE)", _correlation, "regression",
        companions=("pearson", "spearman", "mse"),
    ),
    "entity_f1": Metric(
        "micro F1 over exact entity spans (seqeval, the CoNLL rule)", _entities, "token-classification",
        companions=("entity_precision", "entity_recall", "token_accuracy"),
    ),
}  # fmt: skip
