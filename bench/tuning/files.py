"""What `tune` leaves in its results folder beside the records: trials.csv, rates.svg and recipes/METHOD.json."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from bench.files import write_atomically
from bench.grid.recipes import FOLDER, File, Tuned, file_name
from bench.leaderboard.files import csv_of
from bench.plugins.recipe import HISTORY
from bench.plugins.search_space import Space
from bench.report.rates import ALL_TASKS, THIS_TASK, rates_svg
from bench.tuning.trials import Trial

TRIALS, CHART = "trials.csv", "rates.svg"


def write(results: Path, trials: Sequence[Trial], chosen: Sequence[Tuned], spaces: Mapping[str, Space]) -> list[str]:
    """Write the table and the chart of the trials, and the recipes; what was written. spaces: by label of a method."""
    picked = {cell: ALL_TASKS if tuned.task is None else THIS_TASK for tuned in chosen for cell in tuned.trials}
    lines = [_line(trial, picked, spaces[trial.label]) for trial in trials]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    write_atomically(results / TRIALS, csv_of(lines, columns))
    written = [TRIALS]
    if drawn := rates_svg(lines, standalone=True):
        write_atomically(results / CHART, drawn)
        written.append(CHART)
    by_method: dict[str, list[Tuned]] = defaultdict(list)
    methods = {trial.label: trial.records[0].cell.method for trial in trials}
    for tuned in chosen:
        by_method[methods[tuned.method]].append(tuned)
    for method, recipes in by_method.items():
        (results / FOLDER).mkdir(exist_ok=True)
        text = File(recipes=tuple(recipes)).model_dump_json(indent=2) + "\n"
        write_atomically(results / FOLDER / file_name(method), text)
        written.append(f"{FOLDER}/{file_name(method)}")
    return written


def _line(trial: Trial, picked: Mapping[str, str], space: Space) -> dict[str, Any]:
    """Of trials.csv. validation_score is the mean over the seeds, as long as each has a score."""
    cell = trial.records[0].cell
    scores = [record.score for record in trial.records if record.status == "ok" and record.score is not None]
    complete = len(scores) == len(trial.records)
    own = {name: trial.setting(name) for name in space.options}
    return {
        "method": cell.method,
        "method_params": cell.variant,
        "task": cell.task,
        "model": cell.model,
        **own,
        **{name: value for name, value in cell.recipe.items() if name not in HISTORY},
        "metric": next((record.metric for record in trial.records if record.metric), None),
        "validation_score": fmean(scores) if complete else None,
        "validation_std": stdev(scores) if complete and len(scores) > 1 else None,
        "higher_is_better": next((r.higher_is_better for r in trial.records if r.higher_is_better is not None), None),
        "constant_score": next((r.constant_score for r in trial.records if r.constant_score is not None), None),
        "seeds": " ".join(str(record.cell.seed) for record in trial.records),
        "examples": trial.examples,
        "status": ", ".join(sorted({"collapsed" if record.collapsed else record.status for record in trial.records})),
        "chosen": next((picked[record.id] for record in trial.records if record.id in picked), None),
        "published_rates": " ".join(f"{rate:g}" for rate in space.published),
        "cells": " ".join(record.id for record in trial.records),
    }
