"""`plan`: what a grid will train and take, without running it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.common import (
    DEFAULT_RESULTS,
    EXIT_FAILED,
    AsJson,
    Methods,
    Mirror,
    ModelName,
    Plugins,
    Preset,
    ProfileName,
    Results,
    Seeds,
    SuiteOption,
    Tasks,
    asked,
    print_json,
    stderr_console,
)

if TYPE_CHECKING:
    from bench.forecast.grid import Setting


def plan(
    methods: Methods = None,
    tasks: Tasks = None,
    seeds: Seeds = None,
    model: ModelName = None,
    profile: ProfileName = "auto",
    special_tokens: Annotated[
        int | None, typer.Option(min=1, help="Count as if a full input had so many. Default: as the tokenizer has it.")
    ] = None,
    preset: Preset = None,
    suite: SuiteOption = None,
    results: Results = DEFAULT_RESULTS,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Tell what every method of a grid trains, computes, keeps in memory and on disk, and how long it takes.

    Needs no weights, no data and not the machine of the profile: a cell that will not fit its memory is marked.
    """
    from bench.cli.tables import plan_table

    request = asked(
        suite=suite,
        preset=preset,
        methods=methods,
        tasks=tasks,
        seeds=seeds,
        model=model,
        profile=profile,
        results=results,
        mirror=mirror,
        plugins=plugin,
    )
    from bench.runner.forecasting import forecast  # loads torch: not before the options are known to be right

    with contextlib.redirect_stdout(sys.stderr):  # plugins may talk, and standard output is the table's
        setting, forecasts = forecast(request, special_tokens)
    rows = [each.row(setting, len(request.seeds)) for each in forecasts]
    if as_json:
        print_json(rows)
    else:
        print(plan_table(rows))
        _explain(rows, setting)
    wrong = [
        count
        for count in (each.count for each in forecasts)
        if count.parameters and count.formula not in (None, count.parameters.trainable)
    ]
    for count in wrong:
        stderr_console().print(f"{count.method.name} on {count.task.name}: its formula says {count.formula:,}.")
    if wrong:
        raise typer.Exit(EXIT_FAILED)


def _explain(rows: list[dict[str, Any]], setting: Setting) -> None:
    """What the table does not say by itself, on standard error."""
    from bench.forecast.estimate import duration

    console = stderr_console()
    for status, reason in dict.fromkeys((row["status"], row["reason"]) for row in rows if row["reason"]):
        console.print(f"{'Skipped' if status == 'skipped' else 'Note'}: {reason}", markup=False)
    memory = setting.memory
    console.print(
        f"Profile {setting.profile.name}: {memory.mib:,} MiB of {memory.of}. MiB: predicted peak of training at the "
        "largest batch, whose tokens are\nthose of the longest texts, or (*) of the task's limit where data or "
        "tokenizer are not here.",
        markup=False,
    )
    known = [row["predicted_seconds"] for row in rows if row["predicted_seconds"] is not None]
    if known:
        total = sum(row["predicted_seconds"] * row["n_seeds"] for row in rows if row["predicted_seconds"] is not None)
        unknown = len(rows) - len(known)
        rest = f", without {unknown} rows of which it is not known" if unknown else ""
        sources = ", ".join(sorted({row["predicted_seconds_from"] for row in rows if row["predicted_seconds_from"]}))
        console.print(
            f"Time of the grid: {duration(total / setting.profile.workers)}{rest} (from: {sources}; a rate counts "
            "products alone, so it is the least).",
            markup=False,
        )
