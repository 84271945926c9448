"""One run of a grid in named steps; `run`, `tune`, `noise` and `bench.run` are made of them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.forecast.seconds import Estimator, duration
from bench.leaderboard import files
from bench.leaderboard.load import load_records
from bench.leaderboard.tables import Tables
from bench.plugins import registry
from bench.plugins.registry import Registry
from bench.records.store import Store
from bench.runner import backend
from bench.runner.backend import Backend
from bench.runner.plan import Plan, plan
from bench.runner.progress import FetchDisplay, GridDisplay
from bench.runner.request import LOCAL, Request
from bench.runner.run import Run, RunResult
from bench.sanitize import one_line


def prepare(requests: Sequence[Request], console: Console, *, record_skipped: bool = True) -> Plan:
    """The cells of these requests, everything that they need checked and fetched. Names plugins that cannot be used.

    record_skipped: whether a cell that --skip-unfit leaves out gets its record, which a dry run must not write.
    """
    request = requests[0]
    kinds: Any = (registry.methods, registry.tasks, registry.metrics)
    found: list[Registry[Any]] = [each(request.plugins) for each in kinds]
    for each in found:  # whether the grid needs what cannot be used is found out by the plan
        for name, broken in each.broken.items():
            console.print(f"Not usable: {each.kind.__name__.lower()} {name}: {broken.reason}")
    with FetchDisplay(console) as display:
        planned = plan(*requests, on_progress=display.on_progress)
    for note in planned.notes:
        console.print(one_line(note), markup=False)
    if not request.options.skip_unfit:
        return planned
    from bench.runner.forecasting import skip_unfit  # loads torch, which the driver otherwise does without

    return skip_unfit(planned, request, record_skipped)


def execute(planned: Plan, request: Request, console: Console) -> RunResult:
    """Run the cells that are not finished; a BenchError if no worker can start, or a record cannot be written."""
    finished = len(planned.finished)
    already = f", {finished} of them finished already" if finished else ""
    console.print(f"{len(planned.cells)} cells{already}. Profile {planned.why_profile}.")
    for fault in planned.damaged:
        damaged = Store(request.results).damaged
        console.print(f"Runs again: {fault} The damaged file will be moved to {damaged}.")
    if not planned.pending:
        return RunResult(dict(planned.finished))
    store, began = Store(request.results), time.monotonic()
    estimator = Estimator(store.all()[0])
    with (
        _sigterm_interrupts(),
        _backend(planned, request) as chosen,
        GridDisplay(planned.pending, chosen.workers, estimator, console) as display,
    ):
        result = Run(planned, chosen, store, display, request.options.timeout, estimator.guess).run()
    console.print(f"Took {duration(time.monotonic() - began)}.")
    return result


def _backend(planned: Plan, request: Request) -> AbstractContextManager[Backend]:
    if request.options.executor == LOCAL:
        executor = backend.local_executor(planned.workers, request.results / "logs")
        return nullcontext(Backend(executor, planned.workers))
    from bench.runner.remote import cluster  # imports Ray, which is optional

    return cluster(request, planned.pending[0].profile)


def write_tables(results: Path, console: Console) -> Tables:
    """Write the tables of all records of a results folder, and print what was left out."""
    found = load_records([results])
    for note in found.notes:
        console.print(one_line(note))
    tables = Tables(found.records)
    files.write(results, tables)
    return tables


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """A scheduler's SIGTERM is an interruption like Ctrl-C: running cells are recorded, finished ones kept."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # others cannot set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
