"""`noise`: the same cells several times, to know what a machine's figures are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    SuiteOption,
    Tasks,
    asked,
    print_json,
    stderr_console,
)

if TYPE_CHECKING:
    from bench.comparison.noise import Noise


def noise(
    results: Annotated[Path, typer.Option("--results", help="Folder that takes run-1, run-2, ... and noise.json.")],
    methods: Methods = None,
    tasks: Tasks = None,
    seeds: Annotated[str | None, typer.Option(help="How many seeds (3), or which (0,1,2).")] = None,
    model: ModelName = None,
    profile: Annotated[str, typer.Option(help="Hardware profile: auto, a name, or a TOML file.")] = "auto",
    preset: Preset = None,
    suite: SuiteOption = None,
    repeats: Annotated[int, typer.Option(help="How many times the grid is run.", min=2)] = 5,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Run a grid several times and estimate how much throughput and memory differ by themselves (an A/A run).

    What is finished is not run again: the same command goes on where it stopped. Leave the machine alone meanwhile.
    """
    from dataclasses import replace

    from bench import __version__
    from bench.cli.run import execute_plan, make_plan, warn_of_broken_plugins, write_tables
    from bench.comparison import noise as model_of
    from bench.files import write_atomically

    request = asked(
        suite=suite,
        preset=preset,
        methods=methods,
        tasks=tasks,
        seeds=seeds,
        model=model,
        profile=profile,
        mirror=mirror,
        plugins=plugin,
    )
    console = stderr_console()
    warn_of_broken_plugins(console, request.plugins)
    runs, failed = [], False
    for at in range(1, repeats + 1):
        console.print(f"Run {at} of {repeats}:", markup=False)
        each = replace(request, results=results / f"run-{at}")
        # A process of its own for each run, as two runs of CI have: what a warm worker keeps is part of the noise.
        outcome = execute_plan(make_plan(each, console), each, console)
        write_tables(each.results, console)
        if outcome.interrupted:
            console.print("Interrupted. The same command goes on where this one stopped.")
            raise typer.Exit(EXIT_INTERRUPTED)
        for record in outcome.failed:
            failed = True
            console.print(f"Failed, and left out: {record.cell.label}, seed {record.cell.seed}", markup=False)
        runs.append(outcome.records)
    found = model_of.estimate(runs, __version__)
    write_atomically(results / model_of.FILE, found.to_json())
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print(_text(found, len(request.seeds)))
    console.print(f"Written to {results / model_of.FILE}. `compare` finds it in the folder of its BASE.", markup=False)
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
                "to be seen": "-" if test is None else f"{100 * math.expm1(test.detectable):.0f} %",
            }
        )
    return (
        f"{text_table(rows, ['left', 'right', 'right', 'right'])}\n\n"
        f"Standard deviations over {found.repeats} runs of {found.cells} cells on {found.machine}, profile "
        f"{found.profile}.\nto be seen: what one test of a row of {seeds} seeds finds four times of five."
    )
