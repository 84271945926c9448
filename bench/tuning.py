"""Tuning: the same number of trials, of the same length on the same examples, for every method; chosen on validation.

A trial is a point of a method's search space (`Method.space`) on a task: a cell, whose suite is `SUITE-trial-N` and
which is scored on the validation split. Trial N of a method has the same settings on every task.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.errors import UsageError
from bench.files import write_atomically
from bench.grid.recipes import FOLDER, File, RecipeStore, Tuned, file_name
from bench.grid.suites import Suite
from bench.leaderboard.files import csv_of
from bench.plugins import registry
from bench.plugins.search_space import points
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.runner.request import Request

TRIALS = "trials.csv"
CHOSEN_BY = "a trial of tune"


@dataclass(frozen=True)
class TrialResult:
    """A trial of a method on a task, over its seeds.

    number: from 1. records: of its cells, at least one. score: mean on validation; None: a cell did not finish.
    """

    number: int
    records: tuple[Record, ...]
    score: float | None

    @property
    def label(self) -> str:
        return method_label(self.records[0].cell.method, self.records[0].cell.variant)

    @property
    def task(self) -> str:
        return self.records[0].cell.task

    @property
    def settings(self) -> dict[str, Any]:
        return {name: value for name, value in self.records[0].cell.recipe.items() if name != "chosen_by"}

    @property
    def higher_is_better(self) -> bool:
        return all(record.higher_is_better is not False for record in self.records)

    @property
    def usable_score(self) -> float | None:
        """The score; None also where a training came to nothing: such a trial is never chosen."""
        return None if any(record.collapsed for record in self.records) else self.score

    @property
    def examples(self) -> int:
        """Training examples that each cell saw, every repetition counted."""
        return max(map(_examples, self.records))


def trial_requests(request: Request, count: int, epochs: float, min_steps: int) -> list[Request]:
    """A request for each trial, of all its methods and tasks.

    Args:
        epochs, min_steps: of every trial, as in a recipe; the suite's epochs_scale does not change them. Methods with a
            length of their own keep it.

    Raises:
        UsageError: for a method without a search space, and a suite that validates nothing.
    """
    suite, methods = request.suite, registry.methods(request.plugins)
    if suite.budget.validation_examples == 0:
        raise UsageError(f"The suite {suite.name} validates nothing (validation_examples = 0): tune with another.")
    settings: dict[str, list[dict[str, Any]]] = {}
    for name in dict.fromkeys(spec.name for spec in request.methods):
        plugin = methods.get(name).plugin
        if not plugin.space:
            raise UsageError(f"The method {name} has no search space, so there is nothing to tune: see Method.space.")
        fixed = {} if plugin.own_length else {"epochs": epochs, "min_steps": min_steps}
        settings[name] = [{**point, **fixed, "chosen_by": CHOSEN_BY} for point in points(plugin.space, count)]
    budget = {**suite.budget.model_dump(), "choose": "last", "score_on": "validation", "epochs_scale": 1.0}

    def trial(number: int) -> Suite:
        recipes = {method: each[number - 1] for method, each in settings.items()}
        changes = {"name": f"{suite.name}-trial-{number}", "budget": budget, "recipes": recipes, "task_recipes": {}}
        return Suite.model_validate({**suite.model_dump(), **changes})

    recipes = RecipeStore(shipped=False)
    return [replace(request, suite=trial(number), recipes=recipes) for number in range(1, count + 1)]


def trial_results(requests: Sequence[Request], records: Iterable[Record]) -> list[TrialResult]:
    """The trials that have records, by method, task and number."""
    numbers = {request.suite.name: number for number, request in enumerate(requests, start=1)}
    grouped: dict[tuple[str, str, str, int], list[Record]] = defaultdict(list)
    for record in records:
        cell = record.cell
        if record.status not in ("skipped", "interrupted"):  # a method that is not for this task; a trial cut short
            grouped[cell.method, cell.variant, cell.task, numbers[cell.preset]].append(record)
    found = []
    for (*_, number), members in sorted(grouped.items()):
        scores = [record.score for record in members if record.status == "ok" and record.score is not None]
        complete = len(scores) == len(members) == len(requests[number - 1].seeds)
        found.append(TrialResult(number, tuple(members), fmean(scores) if complete else None))
    return found


def _examples(record: Record) -> int:
    if record.recipe is None or record.data is None:
        return 0
    examples, steps = record.data.examples["train"], len(record.losses)
    whole, rest = divmod(steps, math.ceil(examples / record.recipe.batch_size))
    return whole * examples + min(rest * record.recipe.batch_size, examples)


def ranked(trials: Iterable[TrialResult]) -> list[TrialResult]:
    """Trials of one method on one task, the best first; those without a usable score last, and ties by number."""

    def key(trial: TrialResult) -> tuple[float, int]:
        score = trial.usable_score
        return math.inf if score is None else -score if trial.higher_is_better else score, trial.number

    return sorted(trials, key=key)


def choose(trials: Iterable[TrialResult]) -> list[Tuned]:
    """The recipe of each method on each task, and one of each method for other tasks: the best over all tasks.

    Best over all: by the mean over tasks of where a trial's score lies between the method's worst (0) and best (1) on
    the task; a failed trial lies at 0. A task on which no trial of a method finished has no recipe for it.
    """
    grouped: dict[str, dict[str, list[TrialResult]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        grouped[trial.label][trial.task].append(trial)
    found: list[Tuned] = []
    for by_task in grouped.values():
        finished = {task: each for task, each in by_task.items() if ranked(each)[0].usable_score is not None}
        found += [_recipe(task, ranked(each)[:1], len(each)) for task, each in finished.items()]
        if finished:
            shares = _shares(list(finished.values()))
            number = max(shares, key=lambda number: (shares[number], -number))
            best = [trial for each in finished.values() for trial in each if trial.number == number]
            found.append(_recipe(None, best, len(shares)))
    return found


def _shares(tasks: Sequence[Sequence[TrialResult]]) -> dict[int, float]:
    """By number of a trial: the mean over tasks of where its score lies between the worst and the best."""
    found: dict[int, list[float]] = defaultdict(list)
    for trials in tasks:
        scores = [score for trial in trials if (score := trial.usable_score) is not None]
        low, high = min(scores), max(scores)
        for trial in trials:
            score = trial.usable_score
            share = 0.0 if score is None else 1.0 if high == low else (score - low) / (high - low)
            found[trial.number].append(share if trial.higher_is_better or score is None else 1 - share)
    return {number: sum(shares) / len(tasks) for number, shares in found.items()}


def _recipe(task: str | None, chosen: Sequence[TrialResult], count: int) -> Tuned:
    """The settings of a trial, on one task or several, as the recipe for a task; count: of trials that were made."""
    seeds = sorted({record.cell.seed for trial in chosen for record in trial.records})
    tasks = " and ".join(filter(None, [", ".join(trial.task for trial in chosen[:-1]), chosen[-1].task]))
    model = chosen[0].records[0].cell.model
    listed = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    history = {
        "chosen_by": f"tune on validation of {tasks}, {model}, {listed}",
        "trials": count,
        "trial_examples": max(trial.examples for trial in chosen),
    }
    cells = tuple(record.id for trial in chosen for record in trial.records)
    settings = {**chosen[0].settings, **history}
    return Tuned(method=chosen[0].label, task=task, model=model, settings=settings, trials=cells)


def write(results: Path, trials: Sequence[TrialResult], chosen: Sequence[Tuned]) -> None:
    """Write `trials.csv`, and the recipes of each method to `recipes/METHOD.json`, in the results folder."""
    lines = [_line(trial) for trial in trials]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    write_atomically(results / TRIALS, csv_of(lines, columns))
    methods: dict[str, set[str]] = defaultdict(set)
    for trial in trials:
        methods[trial.records[0].cell.method].add(trial.label)
    for method, labels in methods.items():
        file = File(recipes=tuple(tuned for tuned in chosen if tuned.method in labels))
        if file.recipes:
            (results / FOLDER).mkdir(exist_ok=True)
            write_atomically(results / FOLDER / file_name(method), file.model_dump_json(indent=2) + "\n")


def _line(trial: TrialResult) -> dict[str, Any]:
    cell = trial.records[0].cell
    return {
        "method": cell.method,
        "method_params": cell.variant,
        "task": cell.task,
        "model": cell.model,
        "trial": trial.number,
        **trial.settings,
        "metric": next((record.metric for record in trial.records if record.metric), None),
        "validation_score": trial.score,
        "examples": trial.examples,
        "status": ", ".join(sorted({"collapsed" if record.collapsed else record.status for record in trial.records})),
        "cells": " ".join(record.id for record in trial.records),
    }


def at_the_edge(trials: Sequence[TrialResult]) -> list[str]:
    """Settings of the best trial of a method on a task that are the least or the largest tried."""
    found = []
    for name, value in ranked(trials)[0].settings.items():
        values = {trial.settings[name] for trial in trials}
        if len(values) > 2 and isinstance(value, float) and value in (min(values), max(values)):
            found.append(name)
    return found
