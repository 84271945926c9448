"""`run`: a grid of methods x tasks x seeds."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.common import (
    DEFAULT_RESULTS,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
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
    merged,
    print_json,
    stderr_console,
)
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.plugins.registry import Registry
    from bench.runner.makespan import Makespan
    from bench.runner.plan import Plan
    from bench.runner.request import Request
    from bench.runner.run import Outcome


def run(
    methods: Methods = None,
    tasks: Tasks = None,
    seeds: Seeds = None,
    model: ModelName = None,
    profile: ProfileName = "auto",
    preset: Preset = None,
    suite: SuiteOption = None,
    results: Results = DEFAULT_RESULTS,
    mirror: Mirror = None,
    executor: Annotated[str, typer.Option(help="Where cells run: local, or ray for a cluster's machines.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster, HOST:PORT or auto. Default: $RAY_ADDRESS, else this machine.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Cells at a time. Default: the profile's.")] = None,
    plugin: Plugins = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one cell may take.", min=0.001)] = None,
    force: Annotated[bool, typer.Option("--force", help="Run finished cells again.")] = False,
    keep_adapters: Annotated[
        bool, typer.Option("--keep-adapters", help="Leave what was trained under RESULTS/adapters/CELL.")
    ] = False,
    skip_unfit: Annotated[
        bool, typer.Option("--skip-unfit", help="Skip cells whose predicted memory the machine does not have.")
    ] = False,
    frozen: Annotated[
        Path | None, typer.Option(help="A file of `freeze`: refuse other libraries, sources, profiles or code.")
    ] = None,
    recipes: Annotated[
        Path | None, typer.Option(help="A folder of recipes that `tune` wrote; they go before the methods' own.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and which are finished; run nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a grid of methods x tasks x seeds, and write records and a leaderboard."""
    from bench.files import write_atomically
    from bench.runner.makespan import Makespan, csv

    began = time.monotonic() - process_age_seconds()
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
        workers=workers,
        timeout=timeout,
        force=force,
        keep_adapters=keep_adapters,
        frozen=frozen,
        recipes=recipes,
        executor=executor,
        ray_address=ray_address,
    )
    console = stderr_console()
    warn_of_broken_plugins(console, request.plugins)
    planned = make_plan(request, console)
    if skip_unfit:
        planned = without_unfit(planned, request, write=not dry_run)
    if dry_run:
        _show_plan(planned, request, as_json)
        return
    makespan = Makespan(planned.workers, began)
    try:
        outcome = execute_plan(planned, request, console, makespan)
        write_tables(results, console)
    except UsageError:
        raise
    except BenchError as error:  # the plan was right, so it is the disk: full, read-only, gone
        console.print(
            f"Error: {error} What is finished is kept; put that right, and the same command goes on.", markup=False
        )
        raise typer.Exit(EXIT_FAILED) from None
    _show_outcome(outcome, request, console, as_json)
    makespan.end()
    console.print(f"Took {makespan.text()}", markup=False)
    if planned.pending:  # a look at what is done leaves the last run's there
        write_atomically(results / "timeline.csv", csv(makespan.rows()))
    if outcome.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if outcome.failed:
        raise typer.Exit(EXIT_FAILED)


def make_plan(request: Request, console: Console) -> Plan:
    from bench.runner.plan import plan
    from bench.runner.progress import FetchDisplay

    with FetchDisplay(console) as display:
        return plan(request, display.told)


def without_unfit(planned: Plan, request: Request, *, write: bool) -> Plan:
    """The plan with the cells that are predicted not to fit ended already: skipped, with the reason as their record."""
    from bench.forecast.grid import unfit
    from bench.records.store import Store
    from bench.runner.forecasting import forecast
    from bench.train.cell import new_record

    with contextlib.redirect_stdout(sys.stderr):  # plugins may talk
        _, forecasts = forecast(request)
    ended = dict(planned.finished)
    cells = {cell.id: cell for cell in planned.pending}
    for key, reason in unfit(forecasts, planned.pending).items():
        record = new_record(cells[key])
        record.status, record.reason = "skipped", reason
        ended[key] = record
        if write:
            Store(request.results).write(record)
    return replace(planned, finished=ended)


def execute_plan(planned: Plan, request: Request, console: Console, makespan: Makespan | None = None) -> Outcome:
    from bench.records.store import Store
    from bench.runner.backend import launch

    finished = len(planned.finished)
    already = f", {finished} of them finished already" if finished else ""
    console.print(f"{len(planned.cells)} cells{already}. Profile {planned.why_profile}.", markup=False)
    for fault in planned.damaged:
        damaged = Store(request.results).damaged
        console.print(f"Runs again: {fault} What lies there will be moved to {damaged}.", markup=False)
    # A scheduler's SIGTERM is an interruption like Ctrl-C: what runs is recorded, what is done is kept.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return launch(planned, request, console, makespan)
    finally:
        signal.signal(signal.SIGTERM, before)


def process_age_seconds() -> float:
    """How long this process has been there: Python's own start and the imports belong to what a command takes."""
    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def write_tables(results: Path, console: Console) -> None:
    from bench.leaderboard import files

    files.write(results, merged([results], None, console).records)


def _show_outcome(outcome: Outcome, request: Request, console: Console, as_json: bool) -> None:
    from bench import leaderboard as boards
    from bench.cli.tables import leaderboard_table, legend
    from bench.runner.progress import outcome_line

    frame = boards.aggregated(outcome.records.values())
    if as_json:
        print_json(frame.to_dict("records"))
    else:
        print(f"\n{leaderboard_table(frame)}\n\n{legend(frame)}")
    for record in outcome.failed:
        console.print(f"Failed: {outcome_line(record)}", markup=False)
    if outcome.interrupted:
        console.print("Interrupted. The same command goes on where this one stopped.")
    console.print(
        f"Written to {request.results}: leaderboard.csv, cells.csv, pairs.csv, overall.csv, timeline.csv, records/.",
        markup=False,
    )


def _show_plan(planned: Plan, request: Request, as_json: bool) -> None:
    from bench.forecast.estimate import Estimator, duration
    from bench.records.store import Store
    from bench.text import text_table

    estimator = Estimator(Store(request.results).all()[0])
    rows = planned.rows(estimator)
    if as_json:
        print_json(rows)
        return
    shown = [
        {
            **{key: str(row[key]) for key in ("cell", "method", "method_params", "task", "seed")},
            "state": _state(planned, row),
            "estimate": "" if row["finished"] else duration(row["estimated_seconds"]),
        }
        for row in rows
    ]
    print(text_table(shown))
    left = estimator.guess_all(planned.pending, planned.workers)
    print(f"\n{len(planned.cells)} cells, {len(planned.finished)} finished. Profile {planned.why_profile}.")
    print(f"Estimated time: {duration(left)}" + ("." if left is not None else "; run once, and it is known."))


def _state(planned: Plan, row: dict[str, Any]) -> str:
    if not row["finished"]:
        return "to run"
    return "will not fit" if planned.finished[row["cell"]].status == "skipped" else "finished"


def warn_of_broken_plugins(console: Console, plugins: Sequence[Path]) -> None:
    from bench.plugins import registry

    found: list[Registry[Any]] = [registry.methods(plugins), registry.tasks(plugins)]
    for each in found:
        for name, broken in each.broken.items():
            console.print(f"Not usable: {each.kind.__name__.lower()} {name}: {broken.reason}", markup=False)
