"""A made method: records of its trials with scores by a formula, and the search on them to its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from made import failed, record

from bench.plugins.recipe import Recipe
from bench.plugins.search_space import rates
from bench.records.record import Record
from bench.tuning.search import Search, Wanted
from bench.tuning.trials import trials_of

Score = Callable[[str, float, float | None, int], float | None]  # of task, rate, dropout, seed; None: it fails

SPACE = rates(1e-4, 1e-2, "this project")  # 1e-4, 2.5e-4, 6.3e-4, 1.6e-3, 4e-3, 1e-2
CONSTANT = 0.5
OWN_DROPOUT = 0.0
COLLAPSED = "the validation score is no better than a constant answer's"


def search(tasks: Sequence[str] = ("a",), seeds: tuple[int, ...] = (100, 101), **changes: Any) -> Search:
    return Search(**{"space": SPACE, "tasks": tasks, "seeds": seeds, "rates": 6, "extensions": 3, **changes})


def trained(task: str, settings: dict[str, Any], seed: int, score: float | None, **changes: Any) -> Record:
    """A record of a trial; a score no better than CONSTANT collapsed."""
    cell = {
        "task": task,
        "recipe": {**settings, "epochs": 4, "min_steps": 250, "chosen_by": "t"},
        **changes.pop("of", {}),
    }
    if score is None:
        return failed(seed=seed, status="error", of=cell)
    recipe = Recipe(**{"dropout": OWN_DROPOUT, **settings, "epochs": 4, "chosen_by": "t"})
    sign = 1 if changes.get("higher_is_better", True) else -1
    if sign * score <= sign * CONSTANT:
        changes["collapsed"] = COLLAPSED
    return record(seed=seed, score=score, of=cell, recipe=recipe, constant_score=CONSTANT, **changes)


def run(wanted: Wanted, score: Score) -> list[Record]:
    settings = dict(wanted.settings)
    of = settings["learning_rate"], settings.get("dropout", OWN_DROPOUT)
    return [trained(wanted.task, settings, seed, score(wanted.task, *of, seed)) for seed in wanted.seeds]


def search_all(how: Search, score: Score, records: list[Record] | None = None) -> list[list[Wanted]]:
    """What was wanted in each round until the search was over; the records are added to `records`."""
    records = [] if records is None else records
    rounds = []
    while wanted := how.wanted(trials_of(records)):
        rounds.append(wanted)
        assert len(rounds) < 50
        records += [each for one in wanted for each in run(one, score)]
    return rounds


def peak(at: float, best: float = 0.9, dropout: float = 0.0) -> Score:
    """A parabola over the logarithm of the rate. dropout: what the model's own adds."""
    return lambda task, rate, drop, seed: best - 0.01 * math.log10(rate / at) ** 2 + (dropout if drop is None else 0.0)


def rates_of(wanted: Sequence[Wanted], task: str = "a") -> list[float]:
    return [dict(each.settings)["learning_rate"] for each in wanted if each.task == task]
