"""The same number of trials, of the same number of steps on the same examples, for every method; chosen on validation.

A trial is a point of a method's search space (`Method.space`) on a task: a cell, whose suite is `SUITE-trial-N` and
which is scored on the validation split. Trial N of a method has the same settings on every task.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
from bench.plugins.method import Method
from bench.plugins.registry import Registry
from bench.plugins.search_space import points
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.runner.request import Request

TRIALS = "trials.csv"
CHOSEN_BY = "a trial of tune"


@dataclass(frozen=True)
class Tried:
    """A trial of a method on a task, over its seeds.

    number: from 1. score: mean on validation; None: a cell of it did not finish. examples: that each cell saw in
    training.
    """

    method: str
    variant: str
    task: str
    model: str
    number: int
    settings: dict[str, Any]
    records: tuple[Record, ...]
    score: float | None
    higher_is_better: bool
    examples: int

    @property
    def label(self) -> str:
        return method_label(self.method, self.variant)


def trials(request: Request, count: int, epochs: float, min_steps: int) -> list[Request]:
    """A request for each trial, of all its methods and tasks.

    Args:
        epochs, min_steps: of every trial, as in a recipe; the suite's epochs_scale does not change them.

    Raises:
        UsageError: for a method without a search space, and a suite that validates nothing.
    """
    suite, methods = request.suite, registry.methods(request.plugins)
    if suite.budget.validation_examples == 0:
        raise UsageError(f"The suite {suite.name} validates nothing (validation_examples = 0): tune with another.")
    tried = {spec.name: _points(methods, spec.name, count) for spec in request.methods}
    budget = {**suite.budget.model_dump(), "choose": "last", "score_on": "validation", "epochs_scale": 1.0}
    fixed = {"epochs": epochs, "min_steps": min_steps, "chosen_by": CHOSEN_BY}
    return [
        replace(
            request,
            suite=Suite.model_validate(
                {
                    **suite.model_dump(),
                    "name": f"{suite.name}-trial-{at + 1}",
                    "budget": budget,
                    "recipes": {method: {**each[at], **fixed} for method, each in tried.items()},
                    "task_recipes": {},
                }
            ),
            recipes=RecipeStore(shipped=False),
        )
        for at in range(count)
    ]


def _points(methods: Registry[Method], name: str, count: int) -> list[dict[str, Any]]:
    space = methods.get(name).plugin.space
    if not space:
        raise UsageError(f"The method {name} declares no search space, so there is nothing to tune: see Method.space.")
    return points(space, count)


def outcomes(requests: Sequence[Request], records: Iterable[Record]) -> list[Tried]:
    """What became of the trials of which there are records, by method, task and number."""
    numbers = {request.suite.name: number for number, request in enumerate(requests, start=1)}
    together: dict[tuple[str, str, str, int], list[Record]] = defaultdict(list)
    for record in records:
        cell = record.cell
        if record.status not in ("skipped", "interrupted"):  # a method that is not for this task; a trial half done
            together[cell.method, cell.variant, cell.task, numbers[cell.preset]].append(record)
    return [_tried(requests[key[3] - 1], *key, members) for key, members in sorted(together.items())]


def _tried(request: Request, method: str, variant: str, task: str, number: int, members: list[Record]) -> Tried:
    complete = [record.score for record in members if record.status == "ok" and record.score is not None]
    first = members[0]
    return Tried(
        method=method,
        variant=variant,
        task=task,
        model=first.cell.model,
        number=number,
        settings={name: value for name, value in first.cell.recipe.items() if name != "chosen_by"},
        records=tuple(members),
        score=fmean(complete) if len(complete) == len(members) == len(request.seeds) else None,
        higher_is_better=all(record.higher_is_better is not False for record in members),
        examples=max(map(_examples, members)),
    )


def _examples(record: Record) -> int:
    """Training examples that a cell saw, each as often as it did."""
    if record.recipe is None or record.data is None:
        return 0
    examples, steps = record.data.examples["train"], len(record.losses)
    per_epoch = math.ceil(examples / record.recipe.batch_size)
    whole, rest = divmod(steps, per_epoch)
    return whole * examples + min(rest * record.recipe.batch_size, examples)


def ranked(tried: Sequence[Tried]) -> list[Tried]:
    """Trials of one method on one task, the best first; those that did not finish last, and ties as they were tried."""

    def key(trial: Tried) -> tuple[float, int]:
        if trial.score is None:
            return math.inf, trial.number
        return (-trial.score if trial.higher_is_better else trial.score), trial.number

    return sorted(tried, key=key)


def choose(tried: Sequence[Tried]) -> list[Tuned]:
    """The recipe of each method on each task, and one of each method for other tasks: that which did best over all.

    Best over all: by the mean over tasks of where a trial's score lies between the method's worst (0) and best (1) on
    the task; a trial that failed lies at 0. Who did not finish a trial on a task has no recipe for it.
    """
    found: list[Tuned] = []
    for label, of_method in _grouped(tried, lambda trial: trial.label).items():
        by_task = _grouped(of_method, lambda trial: trial.task)
        best = {task: ranked(trials)[0] for task, trials in by_task.items()}
        best = {task: trial for task, trial in best.items() if trial.score is not None}
        for task, trial in best.items():
            found.append(_recipe(label, task, [trial], len(by_task[task])))
        if best:
            shares = _shares([by_task[task] for task in best])
            number = max(shares, key=lambda number: (shares[number], -number))
            chosen = [trial for task in best for trial in by_task[task] if trial.number == number]
            found.append(_recipe(label, None, chosen, len(shares)))
    return found


def _grouped(tried: Iterable[Tried], key: Any) -> dict[str, list[Tried]]:
    groups: dict[str, list[Tried]] = defaultdict(list)
    for trial in tried:
        groups[key(trial)].append(trial)
    return dict(groups)


def _shares(tasks: Sequence[Sequence[Tried]]) -> dict[int, float]:
    """By number of a trial: the mean over tasks of how far its score is from the task's worst to its best."""
    of: dict[int, list[float]] = defaultdict(list)
    for trials in tasks:
        scores = [trial.score for trial in trials if trial.score is not None]
        low, high = min(scores), max(scores)
        for trial in trials:
            share = 0.0 if trial.score is None else 1.0 if high == low else (trial.score - low) / (high - low)
            of[trial.number].append(share if trial.higher_is_better or trial.score is None else 1 - share)
    return {number: sum(shares) / len(tasks) for number, shares in of.items()}


def _recipe(label: str, task: str | None, chosen: Sequence[Tried], count: int) -> Tuned:
    seeds = sorted({record.cell.seed for trial in chosen for record in trial.records})
    tasks = " and ".join(
        [", ".join(trial.task for trial in chosen[:-1]), chosen[-1].task] if chosen[1:] else [chosen[0].task]
    )
    many = "s" if len(seeds) > 1 else ""
    return Tuned(
        method=label,
        task=task,
        model=chosen[0].model,
        settings={
            **chosen[0].settings,
            "chosen_by": f"tune on validation of {tasks}, {chosen[0].model}, seed{many} {', '.join(map(str, seeds))}",
            "trials": count,
            "trial_examples": max(trial.examples for trial in chosen),
        },
        trials=tuple(record.id for trial in chosen for record in trial.records),
    )


def write(results: Path, tried: Sequence[Tried], chosen: Sequence[Tuned]) -> None:
    """Write `trials.csv`, and the recipes of each method to `recipes/METHOD.json`, in the results folder."""
    rows = list(rows_of(tried))
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_atomically(results / TRIALS, csv_of(iter(rows), names))
    for method in dict.fromkeys(trial.method for trial in tried):
        labels = {trial.label for trial in tried if trial.method == method}
        file = File(recipes=tuple(tuned for tuned in chosen if tuned.method in labels))
        if file.recipes:
            (results / FOLDER).mkdir(exist_ok=True)
            write_atomically(results / FOLDER / file_name(method), file.model_dump_json(indent=2) + "\n")


def rows_of(tried: Iterable[Tried]) -> Iterable[Mapping[str, Any]]:
    """A row a trial: what was tried, the mean score on validation, what became of its cells, and which they are."""
    for trial in tried:
        yield {
            "method": trial.method,
            "method_params": trial.variant,
            "task": trial.task,
            "model": trial.model,
            "trial": trial.number,
            **trial.settings,
            "metric": next((record.metric for record in trial.records if record.metric), None),
            "validation_score": trial.score,
            "examples": trial.examples,
            "status": ", ".join(sorted({record.status for record in trial.records})),
            "cells": " ".join(record.id for record in trial.records),
        }


def edges(tried: Sequence[Tried]) -> list[str]:
    """Settings of the best trial of a method on a task that no trial was beyond: the best may lie outside the space."""
    best = ranked(tried)[0]
    found = []
    for name, value in best.settings.items():
        values = {trial.settings[name] for trial in tried}
        if len(values) > 2 and isinstance(value, float) and value in (min(values), max(values)):
            found.append(name)
    return found
