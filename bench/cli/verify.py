"""`verify`: a finished cell once more."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.common import DEFAULT_RESULTS, EXIT_FAILED, AsJson, Mirror, Plugins, Results, print_json, stderr_console
from bench.errors import UsageError
from bench.escaping import one_line


def verify(
    cell: Annotated[str, typer.Argument(help="A cell's id, or the beginning of it.")],
    results: Results = DEFAULT_RESULTS,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Run a finished cell again and compare losses, predictions and scores bit for bit."""
    from bench import running
    from bench import verify as verifying
    from bench.progress import FetchDisplay
    from bench.store import Store

    record = Store(results).find(cell)
    if record.status != "ok":
        raise UsageError(f"Cell {record.id} ended as {record.status}; only a finished cell can be verified.")
    console = stderr_console()
    console.print(one_line(f"Running {record.cell.label}, seed {record.cell.seed}, again ..."), markup=False)
    with FetchDisplay(console) as display:
        again = verifying.repeat(record, running.local_executor(1, None), mirror, plugin or (), display.told)
    faults = verifying.differences(record, again)
    reasons = verifying.excuses(record, again) if faults else []
    if as_json:
        print_json({"cell": record.id, "same": not faults, "differences": faults, "surroundings": reasons})
    elif not faults:
        print(f"{record.id}: the same bit for bit: {len(again.losses)} losses, {len(again.predictions)} predictions, "
              f"{one_line(str(record.metric))} {record.score}.")  # fmt: skip
    else:
        print(one_line(f"{record.id}: not the same: {'; '.join(faults)}."))
        print(one_line(f"What else is different: {'; '.join(reasons) or 'nothing that is recorded'}."))
    if faults:
        raise typer.Exit(EXIT_FAILED)
