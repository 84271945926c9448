"""Shares of examples: the score they belong to, and the jackknife by brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from seqeval.metrics.sequence_labeling import get_entities

from bench.plugins.metrics import METRICS, score
from bench.stats.per_example import _spans, leave_one_out, shares

TAGS = ("O", "B-a", "I-a", "B-b", "I-b")


def made(metric: str, count: int = 60, seed: int = 0) -> tuple[list[Any], list[Any], tuple[str, ...]]:
    """Answers that are often right, the truth, and label names, for any metric."""
    draw = np.random.default_rng(seed)
    if METRICS[metric].kind == "regression":
        truth = draw.normal(2, 1, count).round(1)  # rounded: ties
        return list(map(float, (truth + draw.normal(0, 1, count)).round(1))), list(map(float, truth)), ()
    if METRICS[metric].kind == "token-classification":
        rows = [[int(tag) for tag in draw.integers(0, 5, draw.integers(1, 9))] for _ in range(count)]
        answers = [[tag if draw.random() < 0.8 else int(draw.integers(-1, 5)) for tag in row] for row in rows]
        return answers, rows, TAGS
    size = 4 if metric == "accuracy" else 2
    truth = draw.integers(0, size, count)
    answers = np.where(draw.random(count) < 0.7, truth, draw.integers(0, size, count))
    return answers.tolist(), truth.tolist(), tuple("abcd"[:size])


@pytest.mark.parametrize("metric", METRICS)
def test_the_score_is_the_metrics(metric: str) -> None:
    for seed in range(3):
        answers, truth, labels = made(metric, seed=seed)
        assert leave_one_out(metric, answers, truth, labels)[0] == pytest.approx(
            score(metric, answers, truth, labels)[metric]
        )


@pytest.mark.parametrize("metric", METRICS)
def test_shares_are_the_jackknifes_by_brute_force(metric: str) -> None:
    answers, truth, labels = made(metric, count=25)
    found = shares(metric, answers, truth, labels)
    assert found is not None
    whole = score(metric, answers, truth, labels)[metric]
    assert whole is not None
    for at in range(25):
        less = [values[:at] + values[at + 1 :] for values in (answers, truth)]
        without = score(metric, *less, labels)[metric]
        assert without is not None
        assert found[at] == pytest.approx(25 * whole - 24 * without, abs=1e-9)


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
        assert _spans(row, labels) == {(kind, first, last + 1) for kind, first, last in get_entities(named)}
