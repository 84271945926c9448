"""Rounds and ratios, by hand."""

import math

import pytest

from bench.speed.contender import Run
from bench.speed.rounds import ratio, turns


def test_whoever_begins_moves_on_by_one() -> None:
    names = ["a", "b", "c"]
    assert [turns(names, at) for at in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert turns([], 3) == []


def test_a_ratio_is_taken_within_each_round() -> None:
    found = ratio([4.0, 9.0, 8.0], [2.0, 3.0, 2.0])
    assert found.rounds == (2.0, 3.0, 4.0)
    assert found.median == 3.0
    assert found.mean == pytest.approx(24 ** (1 / 3))
    # ln 2, ln 3, ln 4: mean 1.05935, sample standard deviation 0.34763; Student's t for 2 degrees is 4.30265.
    logs = [math.log(2), math.log(3), math.log(4)]
    mean = sum(logs) / 3
    half = 4.30265 * math.sqrt(sum((each - mean) ** 2 for each in logs) / 2 / 3)
    assert (found.low, found.high) == pytest.approx((math.exp(mean - half), math.exp(mean + half)), rel=1e-5)


def test_one_round_has_no_interval() -> None:
    found = ratio([3.0], [2.0])
    assert (found.median, found.mean, found.low, found.high) == (1.5, 1.5, None, None)
    with pytest.raises(ValueError, match="no round"):
        ratio([], [])
    with pytest.raises(ValueError, match="longer"):
        ratio([1.0], [1.0, 2.0])


def made_run() -> Run:
    """Ten steps of two epochs, one second each, after two seconds of preparation; half a second at the end."""
    marks = tuple(float(at) for at in range(3, 13))
    return Run(started=0.0, marks=marks, ended=12.5, tokens=(90, 60, 30, *[20] * 7), examples=50, epochs=2)


def test_a_run_counts_from_the_third_step_to_the_end_of_the_call() -> None:
    # Steps 4 to 10 have 7 * 20 tokens; the third ended at 5, the call at 12.5.
    assert made_run().tokens_per_second == pytest.approx(140 / 7.5)


def test_examples_are_of_mean_length_whichever_came_first() -> None:
    # 100 examples have 320 tokens: 3.2 each.
    assert made_run().examples_per_second == pytest.approx(140 / 7.5 / 3.2)


def test_epochs_are_told_apart_by_their_steps() -> None:
    assert made_run().epoch_seconds() == [7.0, 5.0]
