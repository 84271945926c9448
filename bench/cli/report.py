"""`report`: writes results folders as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import (
    Against,
    AsJson,
    Folders,
    OnlyProfile,
    Tuning,
    merged,
    print_json,
    require_records,
    stderr_console,
    trials_of,
)


def report(
    folders: Folders = None,
    out: Annotated[Path, typer.Option(help="Write the page here.")] = Path("report.html"),
    against: Against = None,
    profile: OnlyProfile = None,
    tuning: Tuning = None,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file with tables, charts and failures, for any browser, without a network."""
    from bench import report as pages
    from bench.files import write_atomically

    console = stderr_console()
    records = merged(folders, profile, console)
    require_records(records, folders, console)
    page = pages.render(records, trials_of(tuning), against)
    write_atomically(out, page)
    size = len(page.encode())
    if as_json:
        print_json({"file": str(out), "bytes": size, "records": len(records)})
        return
    print(f"{out}: {len(records)} records, {size / 1e6:.1f} MB. Open it in a browser.")
