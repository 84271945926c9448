"""`run`: a grid of methods x tasks x seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.common import EXIT_FAILED, EXIT_INTERRUPTED, AsJson, print_json, stderr_console, takes_options
from bench.errors import BenchError, UsageError
from bench.runner.options import DECLARED, Options

if TYPE_CHECKING:
    from rich.console import Console

    from bench.leaderboard.tables import Tables
    from bench.runner.plan import Plan
    from bench.runner.request import Request
    from bench.runner.run import RunResult


@takes_options(*DECLARED)
def run(
    options: Options,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and which of them are finished; run nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a grid of methods x tasks x seeds, and write records and a leaderboard."""
    from bench.runner.request import Request
    from bench.runner.session import execute, prepare, write_tables

    request, console = Request.of(options), stderr_console()
    planned = prepare([request], console, record_skipped=not dry_run)
    if dry_run:
        _show_plan(planned, request, as_json)
        return
    try:
        result = execute(planned, request, console)
        tables = write_tables(request.results, console)
    except UsageError:
        raise
    except BenchError as error:  # the plan was right, so the disk is full, read-only or gone
        console.print(f"Error: {error} Finished cells are kept; fix this and rerun the same command.")
        raise typer.Exit(EXIT_FAILED) from None
    _show_outcome(result, tables, request, console, as_json)
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if result.failed:
        raise typer.Exit(EXIT_FAILED)


def _show_outcome(result: RunResult, tables: Tables, request: Request, console: Console, as_json: bool) -> None:
    from bench.leaderboard.shown import shown
    from bench.runner.progress import outcome_line

    tables = tables.only(result.records.values())
    if as_json:
        print_json(list(tables.lines("leaderboard")))
    else:
        print(f"\n{shown('leaderboard', tables)}")
    for record in result.failed:
        if record.status != "interrupted":
            console.print(f"Failed: {outcome_line(record)}")
    if result.interrupted:
        console.print("Interrupted. The same command continues where this one stopped.")
    console.print(f"Written to {request.results}: leaderboard.csv, cells.csv, pairs.csv, overall.csv, records/.")


def _show_plan(planned: Plan, request: Request, as_json: bool) -> None:
    from bench.cli.terminal_tables import table
    from bench.forecast.seconds import Estimator, duration
    from bench.leaderboard.layout import METHOD, Column, number, text
    from bench.records.store import Store

    estimator = Estimator(Store(request.results).all()[0])
    rows = [
        {
            "cell": cell.id,
            "method": cell.method,
            "method_params": cell.variant,
            "task": cell.task,
            "model": cell.model,
            "profile": cell.profile.name,
            "preset": cell.preset,
            "pooling": cell.pooling,
            "seed": cell.seed,
            "finished": cell.id in planned.finished,
            "estimated_seconds": None if cell.id in planned.finished else estimator.guess(cell),
        }
        for cell in planned.cells
    ]
    if as_json:
        print_json(rows)
        return

    def state(row: Mapping[str, Any]) -> str:
        if not row["finished"]:
            return "to run"
        return "will not fit" if planned.finished[row["cell"]].status == "skipped" else "finished"

    print(table(rows, {
        "cell": text("cell"), "method": METHOD, "task": text("task"), "seed": number("seed"), "state": Column(state),
        "estimate": Column(lambda row: "" if row["finished"] else duration(row["estimated_seconds"])),
    }))  # fmt: skip
    left = estimator.guess_all(planned.pending, planned.workers)
    print(f"\n{len(planned.cells)} cells, {len(planned.finished)} finished. Profile {planned.why_profile}.")
    print(f"Estimated time: {duration(left)}" + ("." if left is not None else ", until similar cells have been run."))
