"""Metrics that violate one requirement each, and the built-in ones, which violate none."""

from typing import Any

import numpy as np
import pytest
from scoring import METRICS

from bench.check.metric_checks import metric_outcomes
from bench.plugins import Metric
from bench.stats.per_example import columns, share_of


class Within(Metric):
    """Keeps the contract."""

    name, kinds = "within", ("regression",)

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        return float(np.mean(np.abs(np.subtract(predictions, references)) <= 1))


class UpsideDown(Within):
    higher_is_better = False


class Undefined(Within):
    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        return float("nan")


class First(Within):
    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        return float(1 / (1 + abs(predictions[0] - references[0]))) + super().compute(predictions, references, labels)


class Sorts(Within):
    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        found = super().compute(predictions, references, labels)
        predictions.sort()
        return found


class OtherSums(Within):
    def sums(self, predictions: Any, references: Any, labels: Any) -> Any:
        return columns(np.abs(np.subtract(predictions, references)) <= 1.5, 1), share_of


@pytest.mark.parametrize("metric", [*METRICS.values(), Within])
def test_a_metric_that_keeps_the_contract(metric: type[Metric]) -> None:
    assert {each.status for each in metric_outcomes(metric(), lambda progress: None)} == {"ok"}


@pytest.mark.parametrize(
    ("metric", "check", "reason"),
    [
        (UpsideDown, "right-is-best", "it is 1 for right answers and 0."),
        (Undefined, "right-is-best", "it is nan for right answers"),
        (First, "order-does-not-count", "it was "),
        (Sorts, "order-does-not-count", "compute changes its arguments"),
        (OtherSums, "without-each", "the score of all examples is "),
    ],
)
def test_a_violation_is_found_and_named(metric: type[Metric], check: str, reason: str) -> None:
    found = {each.check: each for each in metric_outcomes(metric(), lambda progress: None)}
    assert found[check].status == "failed"
    assert (found[check].reason or "").startswith(reason)
