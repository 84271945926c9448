"""Scores against the libraries used directly, and against numbers worked by hand."""

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from seqeval import metrics as seqeval
from sklearn import metrics as sklearn

from bench.metrics import METRICS, constant_answer, score

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


def test_perfect_and_reversed_answers() -> None:
    assert score("matthews", [0, 1, 1], [0, 1, 1], BINARY)["matthews"] == pytest.approx(1)
    assert score("matthews", [1, 0, 0], [0, 1, 1], BINARY)["matthews"] == pytest.approx(-1)
    assert score("f1", [0, 0], [1, 1], BINARY) == {"f1": 0.0, "accuracy": 0.0}


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


@pytest.mark.parametrize(
    ("predictions", "references"), [([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 3.0]), ([1.0], [2.0])]
)
def test_the_correlation_of_a_constant_is_not_defined(predictions: list[float], references: list[float]) -> None:
    scores = score("spearman", predictions, references, ())
    assert scores["spearman"] is None
    assert scores["pearson"] is None
    assert scores["mse"] is not None


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


def drawn(seed: int, labels: int, count: int = 60) -> tuple[list[int], list[int]]:
    draw = random.Random(seed)
    references = [draw.randrange(labels) for _ in range(count)]
    return [label if draw.random() < 0.6 else draw.randrange(labels) for label in references], references


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_the_libraries_own(seed: int) -> None:
    predictions, references = drawn(seed, 2)
    assert score("matthews", predictions, references, BINARY) == pytest.approx(
        {
            "matthews": sklearn.matthews_corrcoef(references, predictions),
            "accuracy": sklearn.accuracy_score(references, predictions),
            "f1": sklearn.f1_score(references, predictions),
        }
    )
    predictions, references = drawn(seed, 5)
    assert score("accuracy", predictions, references, "abcde") == pytest.approx(
        {
            "accuracy": sklearn.accuracy_score(references, predictions),
            "f1_macro": sklearn.f1_score(references, predictions, average="macro"),
        }
    )
    numbers, truth = [p + 0.1 * i for i, p in enumerate(predictions)], [float(r) for r in references]
    assert score("spearman", numbers, truth, ()) == pytest.approx(
        {
            "spearman": stats.spearmanr(numbers, truth).statistic,
            "pearson": stats.pearsonr(numbers, truth).statistic,
            "mse": sklearn.mean_squared_error(truth, numbers),
        }
    )
    answers = [[OTAGS[p] for p in predictions[at : at + 6]] for at in range(0, 60, 6)]
    tags = [[OTAGS[r] for r in references[at : at + 6]] for at in range(0, 60, 6)]
    got = score(
        "entity_f1",
        [predictions[at : at + 6] for at in range(0, 60, 6)],
        [references[at : at + 6] for at in range(0, 60, 6)],
        OTAGS,
    )
    assert got == pytest.approx(
        {
            "entity_f1": seqeval.f1_score(tags, answers),
            "entity_precision": seqeval.precision_score(tags, answers),
            "entity_recall": seqeval.recall_score(tags, answers),
            "token_accuracy": seqeval.accuracy_score(tags, answers),
        }
    )


@pytest.mark.parametrize("metric", METRICS)
def test_lengths_that_do_not_match_are_refused(metric: str) -> None:
    one: Any = [[0]] if metric == "entity_f1" else [0]
    for predictions, references in ((one, []), ([], one), (one * 2, one), ([], [])):
        with pytest.raises(ValueError, match="do not match"):
            score(metric, predictions, references, TAGS)


def test_answers_of_another_length_than_the_sentence_are_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        score("entity_f1", [[0, 1]], [[0, 1, 2]], TAGS)


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
    assert constant_answer("spearman", [1.0, 2.0], [1.0, 5.0], ()) is None
    # B-X everywhere: 2 of 4 entities right, 4 of 4 answers are entities of one word, 2 right
    assert constant_answer("entity_f1", [[0, 0], [2]], [[0, 2], [0, 2]], TAGS) == pytest.approx(0.5)
    assert constant_answer("entity_f1", [[0, 0, 1]], [[0, 0, 1, 1]], OTAGS) == 0


@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_scores_keep_their_bounds(pairs: list[tuple[int, int]]) -> None:
    predictions, references = map(list, zip(*pairs, strict=True))
    scores = score("matthews", predictions, references, BINARY)
    assert -1 <= scores["matthews"] <= 1
    assert scores["accuracy"] == pytest.approx(sum(p == r for p, r in pairs) / len(pairs))
    assert (scores["accuracy"] == 1) <= (scores["f1"] in (0, 1))
