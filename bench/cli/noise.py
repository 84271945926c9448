"""`noise`: the same cells several times, to know what a machine's figures are worth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import EXIT_FAILED, EXIT_INTERRUPTED, GRID, AsJson, print_json, stderr_console, takes_options
from bench.runner.options import Options

if TYPE_CHECKING:
    from bench.comparison.noise import Noise


@takes_options(*GRID, results=(..., "Folder for run-1, run-2, ... and noise.json."))
def noise(
    options: Options,
    repeats: Annotated[int, typer.Option(help="Number of times that the grid is run.", min=2)] = 5,
    as_json: AsJson = False,
) -> None:
    """Run a grid several times and estimate how much throughput and memory vary by themselves (an A/A run).

    Finished cells are not repeated: the same command continues where it stopped. Leave the machine alone meanwhile.
    """
    from bench.comparison import noise as noise_model
    from bench.files import write_atomically
    from bench.runner.request import Request
    from bench.runner.session import execute, prepare, write_tables
    from bench.version import __version__

    request, console = Request.of(options), stderr_console()
    runs, failed = [], False
    for number in range(1, repeats + 1):
        console.print(f"Run {number} of {repeats}:")
        # Each run starts new worker processes, as two runs of CI do: what a warm worker keeps is part of the noise.
        each = replace(request, results=request.results / f"run-{number}")
        outcome = execute(prepare([each], console), each, console)
        write_tables(each.results, console)
        if outcome.interrupted:
            console.print("Interrupted. The same command continues where this one stopped.")
            raise typer.Exit(EXIT_INTERRUPTED)
        for record in outcome.failed:
            failed = True
            console.print(f"Failed, and left out: {record.cell.label}, seed {record.cell.seed}")
        runs.append(outcome.records)
    found = noise_model.estimate(runs, __version__)
    write_atomically(request.results / noise_model.FILE, found.to_json())
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print(_text(found, len(request.seeds)))
    console.print(f"Written to {request.results / noise_model.FILE}. `compare` looks for it in BASE.")
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _text(found: Noise, seeds: int) -> str:
    """The spreads, and what they let a comparison see."""
    import math

    from bench.comparison.noise import ratio_test
    from bench.text import text_table

    rows = []
    for name, spread in found.quantities.items():
        test = ratio_test([0.0] * seeds, spread, None)
        rows.append(
            {
                "figure": name,
                "between runs": "-" if spread.between_sd is None else f"{100 * spread.between_sd:.1f} %",
                "within a run": f"{100 * spread.within_sd:.1f} %",
                "detectable": "-" if test is None else f"{100 * math.expm1(test.detectable):.0f} %",
            }
        )
    return (
        f"{text_table(rows, ['left', 'right', 'right', 'right'])}\n\n"
        f"Standard deviations over {found.repeats} runs of {found.cells} cells on {found.machine}, profile "
        f"{found.profile}.\ndetectable: the smallest change that one test of a row of {seeds} seeds finds with 80 % "
        "power."
    )
