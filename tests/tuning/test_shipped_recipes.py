"""The recipes that the methods ship are what `tune` chooses from the published trials, the same number of each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench import tuning
from bench.grid import suites
from bench.grid.recipes import File, RecipeStore, Tuned, file_name, folder_of, load
from bench.plugins import registry
from bench.plugins.recipe import LENGTH
from bench.plugins.specs import build_method, parse
from bench.records.record import Record
from bench.records.store import Store
from bench.runner.options import Options
from bench.runner.request import Request

ROOT = Path(__file__).parents[2]
STANDARD = suites.load("standard")
METHODS = sorted({parse(entry).name for entry in STANDARD.methods})


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return Store(ROOT / "results" / "tuning").all()[0]


@pytest.fixture(scope="module")
def trials(records: list[Record]) -> int:
    """How many each method had."""
    return max(int(record.cell.preset.rpartition("-")[2]) for record in records)


def test_every_method_had_the_same_trials_on_the_same_tasks(records: list[Record], trials: int) -> None:
    assert {record.cell.method for record in records} == set(METHODS)
    counts = Counter((record.cell.method, record.cell.task) for record in records if record.status == "ok")
    assert counts == {(method, task): trials for method in METHODS for task in STANDARD.tasks}
    steps = {len(record.losses) for record in records}
    assert len(steps) <= 2  # four epochs, or the least number of steps where these are fewer
    for task in STANDARD.tasks:
        of_task = [record for record in records if record.cell.task == task]
        assert len({(len(r.losses), r.cell.budget, r.data.digest if r.data else "") for r in of_task}) == 1


def test_what_is_shipped_is_what_was_chosen(records: list[Record], trials: int) -> None:
    request = Request(Options(), STANDARD, [parse(name) for name in METHODS], STANDARD.tasks, (100,), STANDARD.model)
    requests = tuning.trial_requests(request, trials, epochs=4, min_steps=250)
    chosen = tuning.choose(tuning.trial_results(requests, records))
    found = registry.methods()
    for name in METHODS:
        shipped = load(folder_of(found.get(name).plugin) / file_name(name))
        own_length = found.get(name).plugin.own_length
        assert shipped == File(recipes=tuple(_shipped(tuned, own_length) for tuned in chosen if tuned.method == name))
        assert {tuned.task for tuned in shipped.recipes} == {*STANDARD.tasks, None}


def _shipped(tuned: Tuned, own_length: bool) -> Tuned:
    """As it is shipped: of a method that has got a length of its own since the trials, without theirs."""
    if not own_length:
        return tuned
    settings = {name: value for name, value in tuned.settings.items() if name not in LENGTH}
    settings["chosen_by"] += ", in trials of 250 steps; the length is the method's own since"
    return tuned.model_copy(update={"settings": settings})


def test_a_row_of_the_standard_suite_says_how_it_was_tuned(trials: int) -> None:
    found = registry.methods()
    for entry in STANDARD.methods:
        method = build_method(found, parse(entry))
        for task in STANDARD.tasks:
            settings = RecipeStore().overrides(method, task, STANDARD).settings
            assert settings["trials"] == trials
            assert task in settings["chosen_by"]
