"""How long cells take, guessed from those that are done."""

from __future__ import annotations

from typing import Any

import pytest
from made import PROFILE, cell, failed, record

from bench.forecast.seconds import Estimator, Like, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (-3.0, "0 s"),
        (8.2, "8 s"),
        (89.4, "89 s"),
        (90.0, "2 min"),
        (3569.0, "59 min"),
        (3571.0, "1 h 00 min"),
        (7500.0, "2 h 05 min"),
    ],
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def took(seconds: float, method: str = "head", seed: int = 0, **of: Any) -> Any:
    return record(method, seed, of=of, timeline={"total": seconds})


def test_a_guess_is_the_median_of_the_likest_there_are() -> None:
    known = Estimator(
        [
            took(10, "pasta", 0),
            took(30, "pasta", 1),
            took(11, "pasta", 2),
            took(100, "pasta", 0, task="trec"),
            took(1000, "lora", 0),
            took(5000, "lora", 0, variant="r=4", params={"r": 4}),
        ]
    )
    assert known.guess(cell("pasta", 9)) == 11  # the same method on the same task
    assert known.guess(cell("pasta", task="trec")) == 100
    assert known.guess(cell("pasta", task="other")) == 20.5  # the method on any task
    assert known.guess(cell("lora", variant="r=4")) == 5000
    assert known.guess(cell("full")) == 65.0  # any cell: 10, 11, 30, 100, 1000, 5000
    assert known.guess(cell("lora", variant="r=8")) == 65.0
    assert known.guess(Like.of(cell("pasta"))) == 11


@pytest.mark.parametrize(
    "of", [{"preset": "full"}, {"model": "other"}, {"profile": PROFILE.model_copy(update={"name": "other"})}]
)
def test_nothing_is_guessed_across_profiles_presets_and_models(of: dict[str, Any]) -> None:
    assert Estimator([took(10)]).guess(cell(**of)) is None


def test_only_cells_that_ran_to_their_end_are_learnt_from() -> None:
    known = Estimator([failed(timeline={"total": 1.0}), record(timeline={})])
    assert known.guess(cell()) is None
    known.learn(took(7))
    assert known.guess(cell()) == 7


def test_a_grid_is_guessed_where_every_cell_is() -> None:
    known = Estimator([took(10), took(20, "pasta")])
    assert known.guess_all([cell(), cell("pasta"), cell("full")], workers=1) == 45
    assert known.guess_all([cell(), cell("pasta")], workers=2) == 15
    assert known.guess_all([cell(), cell(preset="full")], workers=1) is None
    assert known.guess_all([], workers=2) == 0
