"""`tune`: trials of every method's search space, and the recipes that did best on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.common import EXIT_FAILED, EXIT_INTERRUPTED, GRID, AsJson, print_json, stderr_console, takes_options
from bench.runner.options import Options

if TYPE_CHECKING:
    from bench.grid.recipes import Tuned
    from bench.tuning import TrialResult


@takes_options(
    *GRID,
    "workers",
    "timeout",
    # Seeds that no published cell has, so that what is reported was not chosen by its luck.
    seeds=("100,", "Seeds of each trial, whose scores are averaged: how many (3), or which (100,)."),
    results=(Path("results/local-tuning"), "Folder for the trials' records, trials.csv and recipes/."),
)
def tune(
    options: Options,
    trials: Annotated[int, typer.Option(help="Points of its search space that each method tries.", min=1)] = 7,
    epochs: Annotated[float, typer.Option(help="Epochs of each trial.", min=0.001)] = 4,
    min_steps: Annotated[int, typer.Option(help="Least number of steps of each trial.", min=0)] = 250,
    as_json: AsJson = False,
) -> None:
    """Give every method the same number of trials on every task, and keep the settings that do best on validation.

    Finished trials are not repeated: the same command continues where it stopped, and with more --trials it adds to
    them. The test split is never used. `run --recipes RESULTS/recipes` uses what was found.
    """
    from bench import tuning
    from bench.grid.recipes import FOLDER
    from bench.runner.request import Request
    from bench.runner.session import execute, prepare

    if not options.suite and not options.preset:
        options = replace(options, suite="standard")
    request, console = Request.of(options), stderr_console()
    requests = tuning.trial_requests(request, trials, epochs, min_steps)
    outcome = execute(prepare(requests, console), request, console)
    if outcome.interrupted:
        console.print("Interrupted: no recipe was chosen. The same command continues where this one stopped.")
        raise typer.Exit(EXIT_INTERRUPTED)
    tried = tuning.trial_results(requests, outcome.records.values())
    chosen = tuning.choose(tried)
    tuning.write(request.results, tried, chosen)
    if as_json:
        print_json([tuned.model_dump(mode="json") for tuned in chosen])
    else:
        print(_text(tried, chosen))
    for record in outcome.failed:
        console.print(f"Failed: {record.cell.label}, {record.cell.preset}: {record.reason}")
    console.print(
        f"Written to {request.results}: {tuning.TRIALS}, {FOLDER}/. Use: run --recipes {request.results / FOLDER}"
    )
    if outcome.failed:
        raise typer.Exit(EXIT_FAILED)


def _text(tried: Sequence[TrialResult], chosen: Sequence[Tuned]) -> str:
    """What was chosen for each method and task, and how far the trials lie apart."""
    from bench.text import text_table
    from bench.tuning import at_the_edge, ranked

    if not chosen:
        return "No trial finished."
    rows, at_edge = [], False
    for tuned in chosen:
        of = [trial for trial in tried if trial.label == tuned.method and trial.task == tuned.task]
        scores = [trial.score for trial in of if trial.score is not None]
        beyond = at_the_edge(of) if of else []
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
    note = "\n\n* at the edge of the values tried: a wider range may help." if at_edge else ""
    return f"{text_table(rows)}{note}"


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _shown(value: Any) -> str:
    return "model's" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
