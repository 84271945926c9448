"""Scores against the libraries used directly, and against numbers worked by hand."""

import math
from typing import Any

import pytest
from seqeval import metrics as seqeval

from bench.plugins import registry
from bench.plugins.metrics import METRICS, constant_answer, score

BINARY = ("no", "yes")
TAGS = ("B-X", "I-X", "B-Y", "I-Y")  # as us-address: no "O" among them
OTAGS = ("O", *TAGS)


def test_classification_by_hand() -> None:
    # label 0: 2 of 3 found, 2 of 2 right: F1 0.8; label 1: 1 of 1 found, 1 of 2 right: F1 2/3; label 2 is missed
    scores = score("accuracy", [0, 0, 1, 1, 1], [0, 0, 0, 1, 2], ("a", "b", "c"))
    f1 = [4 / 5, 2 * 1 / (1 + 3), 0]
    assert scores == pytest.approx({"accuracy": 3 / 5, "f1_macro": sum(f1) / 3})


def test_binary_by_hand() -> None:
    predictions, references = [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0]  # tp 2, fp 1, fn 1, tn 2
    assert score("f1", predictions, references, BINARY) == pytest.approx({"f1": 2 / 3, "accuracy": 4 / 6})
    matthews = (2 * 2 - 1 * 1) / math.sqrt(3 * 3 * 3 * 3)
    want = {"matthews": matthews, "accuracy": 4 / 6, "f1": 2 / 3}
    assert score("matthews", predictions, references, BINARY) == pytest.approx(want)


def test_correlation_by_hand() -> None:
    # ranks of the answers 1, 3, 2, 4: squared rank differences 0, 1, 1, 0; 1 - 6 * 2 / (4 * 15)
    scores = score("spearman", [0.0, 2.0, 1.0, 10.0], [1.0, 2.0, 3.0, 4.0], ())
    assert scores["spearman"] == pytest.approx(0.8)
    assert scores["mse"] == pytest.approx((1 + 0 + 4 + 36) / 4)
    deviations = [(-3.25, -1.5), (-1.25, -0.5), (-2.25, 0.5), (6.75, 1.5)]
    pearson = sum(a * b for a, b in deviations) / math.sqrt(
        sum(a * a for a, _ in deviations) * sum(b * b for _, b in deviations)
    )
    assert scores["pearson"] == pytest.approx(pearson)


@pytest.mark.parametrize("metric", ["spearman", "pearson_spearman_mean"])
@pytest.mark.parametrize(
    ("predictions", "references"), [([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 3.0]), ([1.0], [2.0])]
)
def test_the_correlation_of_a_constant_is_not_defined(
    metric: str, predictions: list[float], references: list[float]
) -> None:
    scores = score(metric, predictions, references, ())
    assert scores.pop("mse") is not None
    assert set(scores.values()) == {None}


def test_entities_by_hand() -> None:
    """Exact spans: X right; Y cut short is wrong in both directions."""
    references = [[1, 2, 0, 3, 4], [0, 1]]
    predictions = [[1, 2, 0, 3, 0], [0, 1]]
    scores = score("entity_f1", predictions, references, OTAGS)
    assert scores == pytest.approx(
        {"entity_f1": 2 / 3, "entity_precision": 2 / 3, "entity_recall": 2 / 3, "token_accuracy": 6 / 7}
    )


def test_a_word_without_an_answer_is_outside_of_every_entity() -> None:
    cut_off = score("entity_f1", [[0, 1, -1], [0]], [[0, 1, 2], [2]], TAGS)
    outside = {
        "f1": seqeval.f1_score([["B-X", "I-X", "B-Y"], ["B-Y"]], [["B-X", "I-X", "O"], ["B-X"]]),
        "accuracy": 2 / 4,
    }
    assert cut_off["entity_f1"] == pytest.approx(outside["f1"]) == pytest.approx(2 * 1 / (2 + 3))
    assert cut_off["token_accuracy"] == pytest.approx(outside["accuracy"])
    assert score("entity_f1", [[-1]], [[2]], TAGS)["entity_f1"] == 0


def test_two_adjacent_entities_are_two() -> None:
    assert score("entity_f1", [[0, 1]], [[0, 0]], TAGS)["entity_recall"] == 0
    assert score("entity_f1", [[0, 0]], [[0, 0]], TAGS)["entity_recall"] == 1


def test_glue_tasks_have_the_metrics_of_glue() -> None:
    metrics = {
        "cola": "matthews",
        "stsb": "pearson_spearman_mean",
        **dict.fromkeys(("mrpc", "qqp"), "f1_accuracy_mean"),
        **dict.fromkeys(("sst2", "mnli", "qnli", "rte", "wnli"), "accuracy"),
    }
    tasks = registry.tasks()
    assert {name: tasks.get(f"glue-{name}").plugin.metric for name in metrics} == metrics


def test_means_of_two_by_hand() -> None:
    # tp 2, fp 1, fn 1, tn 2: F1 2/3, accuracy 4/6; and with label 1 alone: F1 6/9, accuracy 3/6
    predictions, references = [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0]
    want = {"f1_accuracy_mean": 2 / 3, "f1": 2 / 3, "accuracy": 2 / 3}
    assert score("f1_accuracy_mean", predictions, references, BINARY) == pytest.approx(want)
    ones = score("f1_accuracy_mean", [1] * 6, references, BINARY)
    assert ones["f1_accuracy_mean"] == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert score("f1_accuracy_mean", [0] * 6, references, BINARY)["f1_accuracy_mean"] == pytest.approx(1 / 4)  # F1 0
    # Spearman 0.8, as above; Pearson of 0, 2, 1, 10 and 1, 2, 3, 4: 14.5 / sqrt(62.75 * 5)
    found = score("pearson_spearman_mean", [0.0, 2.0, 1.0, 10.0], [1.0, 2.0, 3.0, 4.0], ())
    assert found["pearson_spearman_mean"] == pytest.approx((0.8 + 14.5 / math.sqrt(62.75 * 5)) / 2)


@pytest.mark.parametrize(
    ("metric", "predictions", "references"),
    [("f1", [0], []), ("f1", [], [0]), ("f1", [0, 0], [0]), ("f1", [], []), ("entity_f1", [[0, 1]], [[0, 1, 2]])],
)
def test_lengths_that_do_not_match_are_refused(metric: str, predictions: Any, references: Any) -> None:
    with pytest.raises(ValueError, match=r"do not match|inconsistent"):
        score(metric, predictions, references, TAGS)


@pytest.mark.parametrize("metric", METRICS)
def test_calls_do_not_leak_into_each_other(metric: str) -> None:
    """The metric objects are kept; each call must start from nothing, also after one that failed."""
    right: Any = [[0, 1], [2]] if metric == "entity_f1" else [0, 1]
    first = score(metric, right, right, TAGS if metric == "entity_f1" else BINARY)
    with pytest.raises(ValueError, match="do not match"):
        score(metric, right, right[:1], BINARY)
    assert score(metric, right, right, TAGS if metric == "entity_f1" else BINARY) == first
    assert first[metric] == pytest.approx(1)
    assert set(first) == {metric, *METRICS[metric].companions}


def test_the_constant_answer_comes_from_the_training_split() -> None:
    # the most frequent of train is 0, though 1 is more frequent in the test split
    assert constant_answer("accuracy", [0, 0, 1], [1, 1, 0], BINARY) == pytest.approx(1 / 3)
    assert constant_answer("f1", [1, 1, 0], [1, 1, 0, 0], BINARY) == pytest.approx(2 / 3)
    assert constant_answer("matthews", [0, 0, 1], [1, 0, 0], BINARY) == 0
    assert constant_answer("f1_accuracy_mean", [1, 1, 0], [1, 1, 0, 0], BINARY) == pytest.approx((2 / 3 + 1 / 2) / 2)
    for correlation in ("spearman", "pearson_spearman_mean"):
        assert constant_answer(correlation, [1.0, 2.0], [1.0, 5.0], ()) is None
    # B-X everywhere: 2 of 4 entities right, 4 of 4 answers are entities of one word, 2 right
    assert constant_answer("entity_f1", [[0, 0], [2]], [[0, 2], [0, 2]], TAGS) == pytest.approx(0.5)
    assert constant_answer("entity_f1", [[0, 0, 1]], [[0, 0, 1, 1]], OTAGS) == 0
