"""`tune`: search every method's learning rates and options, and keep the recipes that did best on validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.common import EXIT_FAILED, EXIT_INTERRUPTED, GRID, AsJson, print_json, stderr_console, takes_options
from bench.runner.options import Options

if TYPE_CHECKING:
    from bench.grid.recipes import Tuned
    from bench.tuning.trials import Trial


@takes_options(
    *GRID,
    "workers",
    "timeout",
    seeds=("100,101", "Seeds: the first for every trial, the others for the best settings."),
    results=(Path("results/local-tuning"), "Folder for records, trials.csv, rates.svg and recipes/."),
)
def tune(
    options: Options,
    rates: Annotated[int, typer.Option(help="Learning rates over two decades.", min=2)] = 6,
    extensions: Annotated[
        int, typer.Option(help="Most rates to add on a task while the lowest or highest one is the best.", min=0)
    ] = 3,
    epochs: Annotated[float, typer.Option(help="Epochs of each trial.", min=0.001)] = 4,
    min_steps: Annotated[int, typer.Option(help="Least number of steps of each trial.", min=0)] = 250,
    as_json: AsJson = False,
) -> None:
    """Search every method's learning rate, dropout and then a second seed in the same way, and keep what is best on
    validation.

    Takes 10 to 15 trainings of a method on a task (more for methods whose published rates span more than two decades);
    the number of cells is printed first. Finished trials are not repeated: the same command continues where it stopped.
    The test split is never used. `run --recipes RESULTS/recipes` uses what was found.
    """
    from bench.grid.recipes import FOLDER
    from bench.tuning import session

    console = stderr_console()
    tuning = session.tuning_of(options, rates, extensions, epochs, min_steps)
    outcome = session.tune(tuning, console)
    if outcome.interrupted:
        console.print("Interrupted: no recipe was chosen. The same command continues where this one stopped.")
        raise typer.Exit(EXIT_INTERRUPTED)
    results, seeds = tuning.request.results, tuning.request.seeds
    if as_json:
        print_json([tuned.model_dump(mode="json") for tuned in outcome.chosen])
    else:
        print(_text(outcome.trials, outcome.chosen, seeds))
    failed = [record for record in outcome.records if record.failed]
    for record in failed:
        console.print(f"Failed: {record.cell.label}, {record.cell.preset}: {record.reason}")
    console.print(f"Written to {results}: {', '.join(outcome.written)}. Use: run --recipes {results / FOLDER}")
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _text(trials: Sequence[Trial], chosen: Sequence[Tuned], seeds: Sequence[int]) -> str:
    """What was chosen, and how well it did."""
    from bench.text import text_table

    if not chosen:
        return "No setting was trained at all seeds without failing or collapsing, so no recipe was chosen."
    by_cell = {record.id: trial for trial in trials for record in trial.records}
    at_edge = False
    rows = []
    for tuned in chosen:
        picked = list({id(by_cell[cell]): by_cell[cell] for cell in tuned.trials}.values())
        rate = tuned.settings["learning_rate"]
        tried = [dict(trial.point)["learning_rate"] for trial in trials
                 if trial.label == tuned.method and trial.task in {each.task for each in picked}]  # fmt: skip
        edge = rate in (min(tried), max(tried))
        at_edge = at_edge or edge
        searched = [name for trial in trials if trial.label == tuned.method for name, _ in trial.point]
        rows.append(
            {
                "method": tuned.method,
                "task": tuned.task or "all",
                "learning rate": f"{rate:g}{'*' * edge}",
                **{name: _shown(tuned.settings[name]) for name in dict.fromkeys(searched) if name != "learning_rate"},
                "settings tried": str(tuned.settings["trials"]),
                "validation": ", ".join(f"{each.task} {_score(each, seeds)}" for each in picked),
            }
        )
    notes = "validation: mean and standard deviation over the seeds."
    if at_edge:
        notes += "\n* the lowest or highest rate tried: a rate beyond it may be better (--extensions)."
    return f"{text_table(rows)}\n\n{notes}"


def _score(trial: Trial, seeds: Sequence[int]) -> str:
    from statistics import fmean, stdev

    scores = [record.score for record in trial.records if record.cell.seed in seeds and record.score is not None]
    return f"{fmean(scores):.4f}" + (f" ± {stdev(scores):.4f}" if len(scores) > 1 else "")


def _shown(value: Any) -> str:
    return "model's" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
