"""Shares of examples: the score they belong to, and the jackknife by brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scoring import METRICS, score, shares
from seqeval.metrics.sequence_labeling import get_entities

from bench.metrics.entities import spans
from bench.plugins.metric import MOST_BY_BRUTE_FORCE, Metric, probabilities_of

BINARY = ("no", "yes")
TAGS = ("O", "B-a", "I-a", "B-b", "I-b")


EACH = [(name, kind) for name, metric in METRICS.items() for kind in metric.kinds]


def made(metric: str, kind: str, count: int = 60, seed: int = 0) -> tuple[list[Any], list[Any], tuple[str, ...]]:
    """Answers that are often right, the truth, and label names, for any metric."""
    answers, truth, labels = made_answers(metric, kind, count, seed)
    if METRICS[metric].of_probabilities:
        draw = np.random.default_rng(seed)
        likely = np.array(probabilities_of(kind, answers, labels))
        answers = ((likely + draw.random(likely.shape)) / 2).round(1).tolist()  # with ties
    return answers, truth, labels


def made_answers(metric: str, kind: str, count: int, seed: int) -> tuple[list[Any], list[Any], tuple[str, ...]]:
    draw = np.random.default_rng(seed)
    if kind == "regression":
        truth = draw.normal(2, 1, count).round(1)  # rounded: ties
        return list(map(float, (truth + draw.normal(0, 1, count)).round(1))), list(map(float, truth)), ()
    if kind == "token-classification":
        rows = [[int(tag) for tag in draw.integers(0, 5, draw.integers(1, 9))] for _ in range(count)]
        answers = [[tag if draw.random() < 0.8 else int(draw.integers(-1, 5)) for tag in row] for row in rows]
        return answers, rows, TAGS
    if kind == "multi-label":  # the last label, one of the classes below, is rare: without an example it is never given
        holds = draw.random((count, 4)) < [0.6, 0.4, 0.2, 0.5 / count]
        answered = np.where(draw.random((count, 4)) < 0.8, holds, ~holds)
        answered[:, 3] = False
        return *([np.flatnonzero(row).tolist() for row in rows] for rows in (answered, holds)), tuple("abcd")
    size = 2 if METRICS[metric].binary else 4
    truth = draw.integers(0, size, count)
    if size == 4:
        truth = np.where(truth == 3, 0, truth)
        truth[0] = 3
    answers = np.where(draw.random(count) < 0.7, truth, draw.integers(0, min(size, 3), count))
    return answers.tolist(), truth.tolist(), tuple("abcd"[:size])


@pytest.mark.parametrize(("metric", "kind"), EACH)
def test_the_score_is_the_metrics(metric: str, kind: str) -> None:
    for seed in range(3):
        answers, truth, labels = made(metric, kind, seed=seed)
        assert METRICS[metric]().leave_one_out(answers, truth, labels)[0] == pytest.approx(
            score(metric, answers, truth, labels, kind)[metric]
        )


@pytest.mark.parametrize(("metric", "kind"), EACH)
def test_shares_are_the_jackknifes_by_brute_force(metric: str, kind: str) -> None:
    for seed in range(2):
        answers, truth, labels = made(metric, kind, count=25, seed=seed)
        found = shares(metric, answers, truth, labels)
        assert found is not None
        compute = METRICS[metric]().compute
        whole = compute(answers, truth, labels)
        for at in range(25):
            less = [values[:at] + values[at + 1 :] for values in (answers, truth)]
            assert found[at] == pytest.approx(25 * whole - 24 * compute(*less, labels), abs=1e-9)


class Median(Metric):
    """Of the absolute errors: no function of sums."""

    name, kinds = "median", ("regression",)

    def compute(self, predictions: Any, references: Any, labels: Any) -> float:
        return float(np.median(np.abs(np.subtract(predictions, references))))


def test_a_metric_that_is_no_function_of_sums_is_computed_without_each_example() -> None:
    # errors 0, 1, 2, 6: median 1.5; without each: 2, 2, 1, 1
    found = Median().shares([0.0, 1.0, 2.0, 6.0], [0.0] * 4, ())
    np.testing.assert_allclose(found, [4 * 1.5 - 3 * each for each in (2, 2, 1, 1)])
    assert Median().shares([0.0] * (MOST_BY_BRUTE_FORCE + 1), [0.0] * (MOST_BY_BRUTE_FORCE + 1), ()) is None


def test_shares_of_the_probabilities_of_two_classes() -> None:
    draw = np.random.default_rng(1)
    truth, given = draw.integers(0, 2, 20).tolist(), draw.random(20).round(1).tolist()
    found, compute = shares("auroc", given, truth, BINARY), METRICS["auroc"]().compute
    assert found is not None
    for at in range(20):
        without = compute(given[:at] + given[at + 1 :], truth[:at] + truth[at + 1 :], BINARY)
        assert found[at] == pytest.approx(20 * compute(given, truth, BINARY) - 19 * without)
    assert shares("auroc", given, [1, *[0] * 19], BINARY) is None  # undefined without the first


def test_tables_that_are_too_large_are_not_made() -> None:
    many = list(range(5000))
    assert shares("f1_macro", many, many, None) is None
    assert shares("accuracy", many, many, None) is not None


def test_those_of_accuracy_are_right_or_wrong() -> None:
    found = shares("accuracy", [0, 1, 2, 1], [0, 1, 1, 1], None)
    np.testing.assert_allclose(found, [1, 1, 0, 1])


@pytest.mark.parametrize(
    ("metric", "answers", "truth"),
    [
        ("accuracy", [1], [1]),
        ("accuracy", [1, 0], [1]),
        ("spearman", [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ("spearman", [1.0, 1.0, 2.0], [1.0, 2.0, 3.0]),  # a constant without the last one
        ("entity_f1", [[0], [1]], [[0], [1]]),  # and nobody says what 0 and 1 are called
    ],
)
def test_what_is_not_defined_is_none(metric: str, answers: list[Any], truth: list[Any]) -> None:
    assert shares(metric, answers, truth, None) is None


@pytest.mark.filterwarnings("ignore:.*seems not to be NE tag")
@pytest.mark.parametrize(
    "labels",
    [
        ("O", "B-a", "I-a", "B-b", "I-b"),
        (*(f"{end}-{kind}" for end in "BIES" for kind in "xyz"), "O", "B", "-", "B-"),
        ("B-a-b", "I-a-b", "I-a", ".-q", "X", "O"),
    ],
)
def test_entities_are_seqevals(labels: tuple[str, ...]) -> None:
    draw = np.random.default_rng(3)
    for _ in range(300):
        row = tuple(draw.integers(-1, len(labels), draw.integers(0, 9)).tolist())
        named = [labels[label] if label >= 0 else "O" for label in row]
        assert spans(row, labels) == {(kind, first, last + 1) for kind, first, last in get_entities(named)}
