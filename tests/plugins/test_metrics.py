"""Scores against the libraries used directly, and against numbers worked by hand."""

import math
from typing import Any

import numpy as np
import pytest
from scoring import METRICS, constant_score, metrics_for, score
from seqeval import metrics as seqeval
from sklearn import metrics

from bench.plugins import registry
from bench.plugins.metric import probabilities_of

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


def test_averages_of_f1_by_hand() -> None:
    """Classes: F1 4/5, 2/4 and 0 of 3, 1 and 1 examples; micro is accuracy. Recalls: 2/3, 1 and 0."""
    answers, truth = [0, 0, 1, 1, 1], [0, 0, 0, 1, 2]
    names = ("f1_macro", "f1_weighted", "f1_micro", "balanced_accuracy")
    found = [score(name, answers, truth, ("a", "b", "c"))[name] for name in names]
    assert found == pytest.approx([(4 / 5 + 2 / 4) / 3, (3 * 4 / 5 + 2 / 4) / 5, 3 / 5, (2 / 3 + 1) / 3])


def test_averages_over_labels_by_hand() -> None:
    """Label a: 2 right of 2 given and 2 true; b: 0 of 1 and 1; c, which nobody gives and nobody has: 0."""
    answers, truth, labels = [[0], [0, 1], []], [[0], [0], [1]], ("a", "b", "c")
    names = ("f1_macro", "f1_weighted", "f1_micro", "subset_accuracy")
    found = [score(name, answers, truth, labels, "multi-label")[name] for name in names]
    assert found == pytest.approx([1 / 3, 2 / 3, 4 / 6, 1 / 3])
    given, true = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]]), np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]])
    for name, average in zip(names, ("macro", "weighted", "micro"), strict=False):
        by_sklearn = metrics.f1_score(true, given, average=average, zero_division=0)
        assert score(name, answers, truth, labels, "multi-label")[name] == pytest.approx(by_sklearn)
    assert metrics.accuracy_score(true, given) == pytest.approx(found[3])
    assert score("f1_micro", [[], []], [[], []], labels, "multi-label")["f1_micro"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_against_sklearn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    answers, truth = draw.integers(0, 4, (2, 50)).tolist()
    x, y = draw.normal(3, 2, (2, 50)).tolist()
    want = {
        "f1_macro": metrics.f1_score(truth, answers, average="macro"),
        "f1_weighted": metrics.f1_score(truth, answers, average="weighted"),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, answers),
        "matthews": metrics.matthews_corrcoef(truth, answers),
        "mae": metrics.mean_absolute_error(y, x),
        "mse": metrics.mean_squared_error(y, x),
        "rmse": metrics.root_mean_squared_error(y, x),
        "r2": metrics.r2_score(y, x),
    }
    found = {name: score(name, *((x, y) if METRICS[name].kinds == ("regression",) else (answers, truth)), "abcd")[name]
             for name in want}  # fmt: skip
    assert found == pytest.approx(want)


def test_r2_of_one_right_answer_is_not_defined() -> None:
    assert score("r2", [1.0, 2.0], [3.0, 3.0], ())["r2"] is None


def test_words_one_by_one_by_hand() -> None:
    """Five words: N 1 of 2 found, 1 of 1 given right; V 2 of 2 found, 2 of 3; X is cut off and never given."""
    labels, answers, truth = ("N", "V", "X"), [[0, 1, 1], [1, -1]], [[0, 0, 1], [1, 2]]
    assert score("token_accuracy", answers, truth, labels) == pytest.approx(
        {"token_accuracy": 3 / 5, "token_f1_macro": (2 / 3 + 4 / 5 + 0) / 3}
    )
    with_outside = score("token_accuracy", [[0, -1]], [[0, 1]], ("N", "O"))  # cut off: outside of every entity
    assert with_outside == {"token_accuracy": 1, "token_f1_macro": 1}


def test_auroc_by_hand() -> None:
    """Of the pairs of a 1 and a 0, (.9, .2), (.9, .5), (.5, .2) are in order, and (.5, .5) is half."""
    found = score("auroc", [0.9, 0.2, 0.5, 0.5], [1, 0, 1, 0], BINARY)
    assert found == {"auroc": 3.5 / 4, "accuracy": 0.75, "f1_macro": pytest.approx((2 / 3 + 4 / 5) / 2)}
    assert score("auroc", [0.9, 0.2], [1, 1], BINARY)["auroc"] is None
    assert constant_score("auroc", [1, 0, 1], [1, 0], BINARY) == 0.5
    assert constant_score("auroc", [[0], [1], []], [[0], []], BINARY, "multi-label") == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_auroc_against_sklearn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth, rows = draw.integers(0, 3, 50), draw.dirichlet(np.ones(3), 50).round(2)
    rows[:, 2] = 1 - rows[:, 0] - rows[:, 1]
    by_sklearn = metrics.roc_auc_score(truth, rows, multi_class="ovr", average="macro")
    found = score("auroc", rows.tolist(), truth.tolist(), "abc")
    assert found["auroc"] == pytest.approx(by_sklearn)
    assert found["accuracy"] == metrics.accuracy_score(truth, rows.argmax(1))
    holds, given = draw.random((50, 3)) < 0.4, draw.random((50, 3)).round(1)
    labels = [np.flatnonzero(row).tolist() for row in holds]
    found = score("auroc", given.tolist(), labels, "abc", "multi-label")
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(holds, given, average="macro"))
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(holds, given > 0.5, average="macro"))
    binary = score("auroc", given[:, 0].tolist(), holds[:, 1].astype(int).tolist(), "ab")
    assert binary["auroc"] == pytest.approx(metrics.roc_auc_score(holds[:, 1], given[:, 0]))


def test_integers_among_the_numbers_do_not_cut_the_others() -> None:
    assert score("mae", [0.5, 1.5], [0, 1], ())["mae"] == 0.5


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


RIGHT: dict[str, Any] = {  # answers of each kind, and label names
    "classification": ([0, 1, 1], BINARY),
    "multi-label": ([[0, 1], [], [1]], BINARY),
    "regression": ([0.0, 1.0, 3.0], ()),
    "token-classification": ([[0, 1], [2]], TAGS),
}


@pytest.mark.parametrize("metric", METRICS)
def test_right_answers_are_best_and_calls_do_not_leak_into_each_other(metric: str) -> None:
    """The metric objects are kept; each call must start from nothing, also after one that failed."""
    plugin = METRICS[metric]
    for kind in plugin.kinds:
        right, labels = RIGHT[kind]
        given = probabilities_of(kind, right, labels) if plugin.of_probabilities else right
        first = score(metric, given, right, labels, kind)
        with pytest.raises(ValueError, match="do not match"):
            score(metric, given, right[:1], labels, kind)
        assert score(metric, given, right, labels, kind) == first
        assert first[metric] == pytest.approx(1 if plugin.higher_is_better else 0)
        assert list(first) == [each.name for each in metrics_for(metric, labels, kind)]


def test_companions_are_those_that_score_the_same_task() -> None:
    assert [each.name for each in metrics_for("f1_macro", "abc", "multi-label")] == ["f1_macro", "subset_accuracy"]
    assert [each.name for each in metrics_for("f1_macro", "abc", "classification")] == ["f1_macro", "accuracy"]
    assert [each.name for each in metrics_for("matthews", "abc")] == ["matthews", "accuracy"]
    assert [each.name for each in metrics_for("matthews", "ab")] == ["matthews", "accuracy", "f1"]


def test_the_constant_answer_comes_from_the_training_split() -> None:
    # the most frequent of train is 0, though 1 is more frequent in the test split
    assert constant_score("accuracy", [0, 0, 1], [1, 1, 0], BINARY) == pytest.approx(1 / 3)
    assert constant_score("f1", [1, 1, 0], [1, 1, 0, 0], BINARY) == pytest.approx(2 / 3)
    assert constant_score("matthews", [0, 0, 1], [1, 0, 0], BINARY) == 0
    assert constant_score("f1_accuracy_mean", [1, 1, 0], [1, 1, 0, 0], BINARY) == pytest.approx((2 / 3 + 1 / 2) / 2)
    for correlation in ("spearman", "pearson_spearman_mean"):
        assert constant_score(correlation, [1.0, 2.0], [1.0, 5.0], ()) is None
    # of two classes the one with the higher score, not the more frequent one; the same of the mean and the median
    assert constant_score("f1", [0, 0, 1], [1, 1, 0, 0], BINARY) == pytest.approx(2 / 3)
    assert constant_score("mae", [0.0, 0.0, 9.0], [0.0, 6.0], ()) == 3
    assert constant_score("rmse", [0.0, 0.0, 9.0], [0.0, 6.0], ()) == 3
    # several labels: 0 holds in 3 of 4, 1 in 2, 2 in 1; micro F1 on train of 0: 6/10, 0 and 1: 10/14, all: 12/18
    train = [[0, 1], [0, 1], [0], [2]]
    assert constant_score("f1_micro", train, [[0], [1]], "abc", "multi-label") == pytest.approx(2 * 2 / (4 + 2))
    assert constant_score("f1_macro", train, [[0], [1, 2]], "abc", "multi-label") == pytest.approx(2 / 3)  # all three
    assert constant_score("subset_accuracy", train, [[0, 1], []], "abc") == 0.5  # the most frequent combination
    assert constant_score("f1_micro", [[], []], [[0], []], "ab", "multi-label") == 0
    # B-X everywhere: 2 of 4 entities right, 4 of 4 answers are entities of one word, 2 right
    assert constant_score("entity_f1", [[0, 0], [2]], [[0, 2], [0, 2]], TAGS) == pytest.approx(0.5)
    assert constant_score("entity_f1", [[0, 0, 1]], [[0, 0, 1, 1]], OTAGS) == 0
