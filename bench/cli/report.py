"""`report`: a results folder as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import DEFAULT_RESULTS, AsJson, print_json, read_records, stderr_console
from bench.errors import UsageError


def report(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR]...", help="Results folders. Default: results/local.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Write the page here.")] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write one HTML file with the leaderboard, charts and failures, to open in any browser, without a network."""
    from bench import report as pages
    from bench.store import write_atomically

    console = stderr_console()
    wanted = folders or [DEFAULT_RESULTS]
    records = [record for folder in wanted for record in read_records(folder, console)]
    if not records:
        raise UsageError(f"There are no records in {', '.join(map(str, wanted))}.")
    page = pages.render(records)
    write_atomically(out, page)
    size = len(page.encode())
    if as_json:
        print_json({"file": str(out), "bytes": size, "records": len(records)})
        return
    print(f"{out}: {len(records)} records, {size / 1e6:.1f} MB. Open it in a browser.")
