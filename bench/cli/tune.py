"""`tune`: trials of every method's search space, and the recipes that did best on validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.common import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    AsJson,
    Methods,
    Mirror,
    ModelName,
    Plugins,
    Preset,
    ProfileName,
    SuiteOption,
    Tasks,
    asked,
    print_json,
    stderr_console,
)

if TYPE_CHECKING:
    from bench.grid.recipes import Tuned
    from bench.tuning import Tried


def tune(
    methods: Methods = None,
    tasks: Tasks = None,
    trials: Annotated[int, typer.Option(help="Points of its search space that each method tries.", min=1)] = 7,
    epochs: Annotated[float, typer.Option(help="Of each trial.", min=0.001)] = 4,
    min_steps: Annotated[int, typer.Option(help="Of each trial, where its epochs are fewer.", min=0)] = 250,
    seeds: Annotated[
        str, typer.Option(help="Seeds of each trial, whose scores are averaged: how many (3), or which (100,).")
    ] = "100,",  # that no published cell has, so that what is reported was not chosen by its luck
    model: ModelName = None,
    profile: ProfileName = "auto",
    preset: Preset = None,
    suite: SuiteOption = None,
    results: Annotated[
        Path, typer.Option("--results", help="Folder that takes the trials' records, trials.csv and recipes/.")
    ] = Path("results/tuning"),
    mirror: Mirror = None,
    workers: Annotated[int | None, typer.Option(help="Cells at a time. Default: the profile's.")] = None,
    plugin: Plugins = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one trial may take.", min=0.001)] = None,
    as_json: AsJson = False,
) -> None:
    """Give every method the same number of trials on every task, and keep the settings that do best on validation.

    What is finished is not run again: the same command goes on where it stopped, and with more --trials it adds to
    them. Test is never looked at. `run --recipes RESULTS/recipes` uses what was found.
    """
    from bench import tuning
    from bench.cli.run import execute_plan, make_plan, warn_of_broken_plugins
    from bench.grid.recipes import FOLDER
    from bench.runner.plan import together

    request = asked(
        suite=suite or (None if preset else "standard"),
        preset=preset,
        methods=methods,
        tasks=tasks,
        seeds=seeds,
        model=model,
        profile=profile,
        results=results,
        mirror=mirror,
        plugins=plugin,
        workers=workers,
        timeout=timeout,
    )
    console = stderr_console()
    warn_of_broken_plugins(console, request.plugins)
    requests = tuning.trials(request, trials, epochs, min_steps)
    planned = together([make_plan(each, console) for each in requests])
    outcome = execute_plan(planned, request, console)
    if outcome.interrupted:
        console.print("Interrupted: no recipe is chosen. The same command goes on where this one stopped.")
        raise typer.Exit(EXIT_INTERRUPTED)
    tried = tuning.outcomes(requests, outcome.records.values())
    chosen = tuning.choose(tried)
    tuning.write(results, tried, chosen)
    if as_json:
        print_json([tuned.model_dump(mode="json") for tuned in chosen])
    else:
        print(_text(tried, chosen))
    for record in outcome.failed:
        console.print(f"Failed: {record.cell.label}, {record.cell.preset}: {record.reason}", markup=False)
    console.print(
        f"Written to {results}: {tuning.TRIALS}, {FOLDER}/. Use: run --recipes {results / FOLDER}", markup=False
    )
    if outcome.failed:
        raise typer.Exit(EXIT_FAILED)


def _text(tried: Sequence[Tried], chosen: Sequence[Tuned]) -> str:
    """What was chosen for each method and task, and how far the trials lie apart."""
    from bench.text import text_table
    from bench.tuning import edges, ranked

    if not chosen:
        return "No trial finished."
    rows, at_edge = [], False
    for tuned in chosen:
        of = [trial for trial in tried if trial.label == tuned.method and trial.task == tuned.task]
        scores = [trial.score for trial in of if trial.score is not None]
        beyond = edges(of) if of else []
        at_edge = at_edge or bool(beyond)
        searched = {name for trial in tried if trial.label == tuned.method for name in trial.settings}
        rows.append(
            {
                "method": tuned.method,
                "task": tuned.task or "any other",
                **{name: _shown(tuned.settings[name]) + "*" * (name in beyond) for name in sorted(searched)},
                "trials": str(tuned.settings["trials"]),
                "validation": _score(ranked(of)[0].score) if of else "",
                "from": _score(min(scores, default=None)),
                "to": _score(max(scores, default=None)),
            }
        )
    note = "\n\n* the least or most that was tried: what is beyond may be better." if at_edge else ""
    return f"{text_table(rows)}{note}"


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _shown(value: Any) -> str:
    return "model's" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
