"""Which trials become recipes: one for all tasks of a method, and a task's own where it is better beyond noise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from bench.grid.recipes import Tuned
from bench.leaderboard.ranking import sample
from bench.plugins.recipe import HISTORY
from bench.stats import ALPHA
from bench.stats.paired import Sample, compare_samples
from bench.tuning.search import by_task, floors_of, on_task, over_tasks
from bench.tuning.trials import Point, Trial


def choose(trials: Iterable[Trial], seeds: Sequence[int]) -> list[Tuned]:
    """The recipes of each method: that for all tasks, and those of single tasks that are better there.

    Only settings that were trained at all seeds are candidates, by the mean less the standard deviation over these; one
    that failed or collapsed at any of them is none. A method of which no trial is a candidate gets no recipe.
    """
    by_label: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_label[trial.label].append(trial)
    return [tuned for of_method in by_label.values() for tuned in _of_method(of_method, seeds)]


def _of_method(trials: Sequence[Trial], seeds: Sequence[int]) -> list[Tuned]:
    known = by_task(trials)
    values = {task: {each: trial.value(seeds) for each, trial in of_task.items()} for task, of_task in known.items()}
    ranked = over_tasks(values, floors_of(known, known))
    if not ranked:
        return []
    best = ranked[0]
    count = len({trial.point for trial in trials})
    options = {name for trial in trials for name, _ in trial.point}
    common = [of_task[best] for task, of_task in known.items() if values[task].get(best) is not None]
    found = [_recipe(None, common, count, options)]
    for task, of_task in known.items():
        if own := _own(of_task, values[task], best):
            found.append(_recipe(task, [own], count, options))
    return found


def _own(known: Mapping[Point, Trial], values: Mapping[Point, float | None], common: Point) -> Trial | None:
    """The best trial of a task, if it is better than that with the common settings, beyond noise; else None.

    Beyond noise: better at every seed, and the mean over seeds is better by more than validation examples explain: the
    paired test over examples has p < ALPHA after correction (Bonferroni) for all the settings that were tried on the
    task, of which this one was picked as the best. Two seeds say too little of their own variance for a test over
    seeds: it would find 10 points in one case of six. Where the common settings failed or collapsed, the best is
    better anyhow.
    """
    best = next(iter(on_task(values)), common)
    if best == common:
        return None
    if values.get(common) is None:
        return known[best]
    own, other = known[best], known[common]
    if not all((own.scores[seed] or 0.0) > (other.scores[seed] or 0.0) for seed in other.scores):
        return None
    first, second = _mean(own), _mean(other)
    compared = first and second and compare_samples(first, second)
    if not compared or compared.p_value is None or compared.p_value * (len(known) - 1) >= ALPHA:
        return None
    return own


def _mean(trial: Trial) -> Sample | None:
    """The mean over its seeds as if it were one training; None: its shares by example are unknown."""
    found = sample(trial.records)
    if found.per_example is None:
        return None
    mean = np.mean(list(found.per_example.values()), axis=0)
    return Sample({0: fmean(found.scores.values())}, {0: mean}, found.tested_on)


def _recipe(task: str | None, chosen: Sequence[Trial], count: int, searched: Iterable[str]) -> Tuned:
    """Settings as a recipe. chosen: the trials with them, one a task. count: of the settings that were tried."""
    records = [record for trial in chosen for record in trial.records]
    seeds = sorted({record.cell.seed for record in records})
    tasks = " and ".join(filter(None, [", ".join(trial.task for trial in chosen[:-1]), chosen[-1].task]))
    model = records[0].cell.model
    listed = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    settings: dict[str, Any] = {
        **{name: chosen[0].setting(name) for name in sorted(searched)},
        **{name: value for name, value in records[0].cell.recipe.items() if name not in HISTORY},
        "chosen_by": f"tune on validation of {tasks}, {model}, {listed}",
        "trials": count,
        "trial_examples": max(trial.examples or 0 for trial in chosen) or None,
    }
    return Tuned(
        method=chosen[0].label, task=task, model=model, settings=settings, trials=tuple(each.id for each in records)
    )
