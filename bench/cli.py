"""The command line: parsing and printing, nothing else. What it does is in the modules that it calls.

Heavy modules are imported inside the commands, so that `--help` and `list` answer at once.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import __version__
from bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.registry import Registry
    from bench.run import Outcome, Plan, Request

app = typer.Typer(
    help="Benchmark parameter-efficient tuning methods: PASTA beside LoRA, BitFit, prompt tuning and full fine-tuning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
MOST_SEEDS = 1000  # more than anybody runs: a larger count is a seed's number
DEFAULT_RESULTS = Path("results/local")

Results = Annotated[Path, typer.Option("--results", help="Folder that takes the records and tables.")]
Mirror = Annotated[
    Path | None,
    typer.Option(envvar="BENCH_MIRROR", help="Folder looked at before the hub, laid out OWNER/NAME."),
]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with methods or tasks; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
Preset = Annotated[str | None, typer.Option(help="Budget and default grid: quick, standard or full.")]
SuiteOption = Annotated[str | None, typer.Option("--suite", help="A named grid, or a TOML file of one.")]
Tasks = Annotated[str | None, typer.Option(help="Tasks, separated by commas. Default: the suite's.")]
ModelName = Annotated[str | None, typer.Option("--model", help="A model's name, a folder, or hub:OWNER/NAME@REVISION.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"bench {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def run(
    methods: Annotated[
        str | None, typer.Option(help="Methods, such as 'pasta,lora[r=4]'. Default: the suite's.")
    ] = None,
    tasks: Tasks = None,
    seeds: Annotated[str | None, typer.Option(help="How many seeds (3), or which (0,1,2).")] = None,
    model: ModelName = None,
    profile: Annotated[str, typer.Option(help="Hardware profile: auto, a name, or a TOML file.")] = "auto",
    preset: Preset = None,
    suite: SuiteOption = None,
    results: Results = DEFAULT_RESULTS,
    mirror: Mirror = None,
    executor: Annotated[str, typer.Option(help="Where cells run: local.")] = "local",
    workers: Annotated[int | None, typer.Option(help="Cells at a time. Default: the profile's.")] = None,
    plugin: Plugins = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one cell may take.", min=0.001)] = None,
    force: Annotated[bool, typer.Option("--force", help="Run finished cells again.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and which are finished; run nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a grid of methods x tasks x seeds, and write records and a leaderboard."""
    from bench import run as runner
    from bench.specs import parse_all, split_list

    if executor != "local":
        raise UsageError(f"There is no executor {executor!r}; there is: local.")
    chosen = runner.suite_of(suite, preset)
    request = runner.Request(
        suite=chosen,
        methods=parse_all(methods if methods is not None else ",".join(chosen.methods)),
        tasks=list(dict.fromkeys(split_list(tasks))) if tasks is not None else chosen.tasks,
        seeds=parse_seeds(seeds) if seeds is not None else chosen.seeds,
        model=model or chosen.model,
        profile=profile,
        results=results,
        mirror=mirror,
        plugins=plugin or (),
        workers=workers,
        timeout=timeout,
        force=force,
    )
    if not request.tasks:
        raise UsageError("No task was given; `python -m bench list tasks` shows them.")
    console = _console()
    _warn_of_broken_plugins(console, request.plugins)
    planned = _plan(request, console)
    if dry_run:
        _show_plan(planned, request, as_json)
        return
    outcome = _execute(planned, request, console)
    _write_tables(results, console)
    _show_outcome(outcome, request, console, as_json)
    if outcome.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if outcome.failed:
        raise typer.Exit(EXIT_FAILED)


@app.command("list")
def list_(
    what: Annotated[
        str | None, typer.Argument(help="methods, tasks, models, profiles or suites. Default: all.")
    ] = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List methods, tasks, models, profiles and suites."""
    from bench import catalogue
    from bench.registry import suggest
    from bench.tables import text_table

    if what is not None and what not in catalogue.KINDS:
        raise UsageError(f"There is nothing called {what!r} to list{suggest(what, catalogue.KINDS)}")
    kinds = [what] if what else list(catalogue.KINDS)
    listed = {kind: catalogue.entries(kind, plugin or ()) for kind in kinds}
    if as_json:
        _print_json(listed[what] if what else listed)
        return
    for kind, entries in listed.items():
        if what is None:
            print(f"\n{kind}:" if kind != kinds[0] else f"{kind}:")
        print(text_table([catalogue.brief(kind, entry) for entry in entries]))


@app.command()
def fetch(
    tasks: Tasks = None,
    model: ModelName = None,
    preset: Preset = None,
    suite: SuiteOption = None,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Bring everything that a run would download, ahead of it."""
    from bench import run as runner
    from bench.progress import FetchDisplay
    from bench.specs import split_list

    chosen = runner.suite_of(suite, preset)
    names = split_list(tasks) if tasks is not None else chosen.tasks
    wanted = runner.references(names, model or chosen.model, plugin or ())
    with FetchDisplay(_console()) as display:
        found = runner.fetch(wanted, mirror, display.told)
    if as_json:
        _print_json(
            [
                {"name": name, "source": wanted[name], "revision": each.revision, "path": str(each.path)}
                for name, each in found.items()
            ]
        )
        return
    for name, each in found.items():
        print(f"{name}: {each.path}")


@app.command()
def leaderboard(
    folder: Annotated[Path, typer.Argument(help="A results folder.")] = DEFAULT_RESULTS,
    out: Annotated[Path | None, typer.Option(help="Write the CSV here.")] = None,
    per_cell: Annotated[bool, typer.Option("--per-cell", help="One row a cell instead of one a method.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the leaderboard of a results folder: a table, a CSV file, or JSON."""
    from bench import leaderboard as boards
    from bench.store import write_atomically
    from bench.tables import leaderboard_table, legend

    frame = (boards.per_cell if per_cell else boards.aggregated)(_records(folder, _console()))
    if out is not None:
        write_atomically(out, boards.to_csv(frame))
    if as_json:
        _print_json(frame.to_dict("records"))
    elif out is None and per_cell:
        sys.stdout.write(boards.to_csv(frame))
    elif out is None:
        print(f"{leaderboard_table(frame)}\n\n{legend(frame)}")


@app.command()
def verify(
    cell: Annotated[str, typer.Argument(help="A cell's id, or the beginning of it.")],
    results: Results = DEFAULT_RESULTS,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Run a finished cell again and compare losses, predictions and scores bit for bit."""
    from bench import verify as verifying
    from bench.progress import FetchDisplay
    from bench.store import Store

    record = Store(results).find(cell)
    if record.status != "ok":
        raise UsageError(f"Cell {record.id} ended as {record.status}; only a finished cell can be verified.")
    console = _console()
    console.print(f"Running {record.cell.label}, seed {record.cell.seed}, again ...", markup=False)
    with FetchDisplay(console) as display:
        again = verifying.repeat(record, _executor(1, None), mirror, plugin or (), display.told)
    faults = verifying.differences(record, again)
    reasons = verifying.excuses(record, again) if faults else []
    if as_json:
        _print_json({"cell": record.id, "same": not faults, "differences": faults, "surroundings": reasons})
    elif not faults:
        print(f"{record.id}: the same bit for bit: {len(again.losses)} losses, {len(again.predictions)} predictions, "
              f"{record.metric} {record.score}.")  # fmt: skip
    else:
        print(f"{record.id}: not the same: " + "; ".join(faults) + ".")
        print("What else is different: " + ("; ".join(reasons) or "nothing that is recorded") + ".")
    if faults:
        raise typer.Exit(EXIT_FAILED)


def parse_seeds(text: str) -> list[int]:
    """`3` is the seeds 0, 1, 2; `0,7` is those two, and `5,` the one seed 5.

    Raises:
        UsageError: if it is neither.
    """
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or any(number < 0 for number in numbers) or (numbers == [0] and "," not in text):
        raise UsageError(f"--seeds {text!r} is neither a count (3) nor a list (0,1,2).")
    if "," not in text and numbers[0] > MOST_SEEDS:
        raise UsageError(f"--seeds {text!r} is more than {MOST_SEEDS} seeds; the one seed of that number is '{text},'.")
    return list(dict.fromkeys(numbers)) if "," in text else list(range(numbers[0]))


def _console() -> Console:
    """Standard error, for people: a log's lines are not wrapped at the width of a terminal that is not there."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def _plan(request: Request, console: Console) -> Plan:
    from bench import run as runner
    from bench.progress import FetchDisplay

    with FetchDisplay(console) as display:
        return runner.plan(request, display.told)


def _executor(workers: int, logs: Path | None) -> Any:
    from os import environ

    from bench.executors.local import LocalExecutor
    from bench.run import TARGET

    # What a run needs was fetched by the driver; a worker that reached for the hub would be a fault.
    env = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    # GNU OpenMP's threads wait for each other in a busy loop, for long; where something else runs on the machine,
    # that keeps the very thread that is waited for off its core. A short loop costs nothing and then sleeps.
    if "OMP_WAIT_POLICY" not in environ:
        env["GOMP_SPINCOUNT"] = environ.get("GOMP_SPINCOUNT", "10000")
    return LocalExecutor(TARGET, workers, logs, env=env)


def _execute(planned: Plan, request: Request, console: Console) -> Outcome:
    from bench import run as runner
    from bench.estimate import Estimator
    from bench.progress import LiveDisplay, PlainDisplay
    from bench.store import Store

    store = Store(request.results)
    finished = len(planned.finished)
    already = f", {finished} of them finished already" if finished else ""
    console.print(f"{len(planned.cells)} cells{already}. Profile {planned.why_profile}.", markup=False)
    estimator = Estimator(store.all()[0])
    pending = planned.pending
    display = (
        LiveDisplay(pending, planned.workers, estimator, console)
        if console.is_terminal
        else PlainDisplay(pending, planned.workers, estimator)
    )
    # A scheduler's SIGTERM is an interruption like Ctrl-C: what runs is recorded, what is done is kept.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with display:
            executor = _executor(planned.workers, request.results / "logs")
            return runner.execute(planned, executor, store, display, request.timeout)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _write_tables(results: Path, console: Console) -> None:
    from bench import leaderboard as boards
    from bench.store import write_atomically

    records = _records(results, console)
    write_atomically(results / "leaderboard.csv", boards.to_csv(boards.aggregated(records)))
    write_atomically(results / "cells.csv", boards.to_csv(boards.per_cell(records)))


def _records(folder: Path, console: Console) -> Sequence[Any]:
    from bench.store import Store

    if not folder.is_dir():
        raise UsageError(f"There is no results folder {folder}; `python -m bench run` makes one.")
    records, faults = Store(folder).all()
    for fault in faults:
        console.print(f"Left out: {fault}", markup=False)
    return records


def _show_outcome(outcome: Outcome, request: Request, console: Console, as_json: bool) -> None:
    from bench import leaderboard as boards
    from bench.progress import outcome_line
    from bench.tables import leaderboard_table, legend

    frame = boards.aggregated(outcome.records.values())
    if as_json:
        _print_json(frame.to_dict("records"))
    else:
        print(f"\n{leaderboard_table(frame)}\n\n{legend(frame)}")
    for record in outcome.failed:
        console.print(f"Failed: {outcome_line(record)}", markup=False)
    if outcome.interrupted:
        console.print("Interrupted. The same command goes on where this one stopped.")
    console.print(f"Written to {request.results}: leaderboard.csv, cells.csv, records/.", markup=False)


def _show_plan(planned: Plan, request: Request, as_json: bool) -> None:
    from bench.estimate import Estimator, duration
    from bench.store import Store
    from bench.tables import text_table

    estimator = Estimator(Store(request.results).all()[0])
    rows = planned.rows(estimator)
    if as_json:
        _print_json(rows)
        return
    shown = [
        {
            **{key: str(row[key]) for key in ("cell", "method", "method_params", "task", "seed")},
            "state": "finished" if row["finished"] else "to run",
            "estimate": "" if row["finished"] else duration(row["estimated_seconds"]),
        }
        for row in rows
    ]
    print(text_table(shown))
    left = estimator.guess_all(planned.pending, planned.workers)
    print(f"\n{len(planned.cells)} cells, {len(planned.finished)} finished. Profile {planned.why_profile}.")
    print(f"Estimated time: {duration(left)}" + ("." if left is not None else "; run once, and it is known."))


def _warn_of_broken_plugins(console: Console, plugins: Sequence[Path]) -> None:
    from bench import registry

    found: list[Registry[Any]] = [registry.methods(plugins), registry.tasks(plugins)]
    for each in found:
        for name, reason in each.broken.items():
            console.print(f"Not usable: {each.kind.__name__.lower()} {name}: {reason}", markup=False)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
