"""The recipes that the methods ship are those of published trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.grid import suites
from bench.grid.recipes import RecipeStore, folder_of, load
from bench.plugins import registry
from bench.plugins.specs import build_method, changed_params, parse
from bench.records.store import Store
from bench.tuning.trials import Trial, trials_of

ROOT = Path(__file__).parents[2]
STANDARD = suites.load("standard")


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return trials_of(Store(ROOT / "results" / "tuning").all()[0])


def test_every_method_had_the_same_steps_on_the_same_data(trials: list[Trial]) -> None:
    assert {trial.records[0].cell.method for trial in trials} == {parse(entry).name for entry in STANDARD.methods}
    for task in {trial.task for trial in trials}:
        of_task = [record for trial in trials if trial.task == task for record in trial.records]
        assert len({(len(r.losses), r.cell.budget, r.data.digest if r.data else "") for r in of_task}) == 1
        assert {record.cell.budget.score_on for record in of_task} == {"validation"}


def test_what_is_shipped_was_tried(trials: list[Trial]) -> None:
    """Every recipe names its trials, which had these settings, and how many settings were tried."""
    by_cell = {record.id: trial for trial in trials for record in trial.records}
    found = registry.methods()
    for name in dict.fromkeys(parse(entry).name for entry in STANDARD.methods):
        for tuned in load(folder_of(found.get(name).plugin) / f"{name}.json").recipes:
            picked = [by_cell[cell] for cell in tuned.trials]
            assert {trial.label for trial in picked} == {tuned.method}
            assert tuned.task is None or {trial.task for trial in picked} == {tuned.task}
            for trial in picked:
                assert {each: tuned.settings[each] for each, _ in trial.point} == dict(trial.point)
                assert None not in trial.scores.values()
            assert tuned.settings["trials"] == len({trial.point for trial in trials if trial.label == tuned.method})


def test_a_row_of_the_standard_suite_says_how_it_was_tuned(trials: list[Trial]) -> None:
    tuned = {trial.label for trial in trials}
    found = registry.methods()
    for entry in STANDARD.methods:
        method = build_method(found, parse(entry))
        variant = changed_params(method.params)
        for task in STANDARD.tasks:
            settings = RecipeStore().overrides(method, task, STANDARD).settings
            inherits = f"{method.name}[{variant}]" not in tuned if variant else False
            assert (settings["trials"] == 0) == settings["chosen_by"].startswith("inherits") == inherits
