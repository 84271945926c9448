"""`report`: writes results folders as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import (
    DEFAULT_RESULTS,
    AsJson,
    Folders,
    OnlyProfile,
    PscpSuite,
    merged,
    print_json,
    pscp_of,
    stderr_console,
)
from bench.errors import UsageError


def report(
    folders: Folders = None,
    out: Annotated[Path, typer.Option(help="Write the page here.")] = Path("report.html"),
    pscp: PscpSuite = None,
    profile: OnlyProfile = None,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file with tables, charts and failures, for any browser, without a network."""
    from bench import report as pages
    from bench.files import write_atomically

    constants = pscp_of(pscp)
    records = merged(folders, profile, stderr_console()).records
    if not records:
        raise UsageError(f"There are no records in {', '.join(map(str, folders or [DEFAULT_RESULTS]))}.")
    page = pages.render(records, constants)
    write_atomically(out, page)
    size = len(page.encode())
    if as_json:
        print_json({"file": str(out), "bytes": size, "records": len(records)})
        return
    print(f"{out}: {len(records)} records, {size / 1e6:.1f} MB. Open it in a browser.")
