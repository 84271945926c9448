"""`leaderboard`: the tables of results folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import (
    EXIT_FAILED,
    AsJson,
    Folders,
    OnlyProfile,
    merged,
    print_json,
    require_records,
    stderr_console,
)
from bench.sanitize import one_line


def leaderboard(
    folders: Folders = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the table as CSV, and NAME.datapackage.json beside it.")
    ] = None,
    per_cell: Annotated[
        bool, typer.Option("--per-cell", help="One row per cell instead of one per method and task.")
    ] = False,
    pairs: Annotated[bool, typer.Option("--pairs", help="One row per pair of methods on a task.")] = False,
    overall: Annotated[bool, typer.Option("--overall", help="One row per method: average ranks over tasks.")] = False,
    into: Annotated[
        Path | None, typer.Option(help="Update the blocks of this Markdown file; each names its results folder.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="With --into: write nothing, exit with 1 if stale.")] = False,
    profile: OnlyProfile = None,
    as_json: AsJson = False,
) -> None:
    """Print the leaderboard of results folders as a table or JSON, or write it as CSV."""
    from bench.cli.terminal_tables import shown
    from bench.errors import UsageError
    from bench.files import write_atomically
    from bench.leaderboard.files import csv_of, package_of
    from bench.leaderboard.tables import Tables

    if into is not None:
        if folders or out or per_cell or pairs or overall or profile or as_json:
            raise UsageError("--into takes --check alone: the blocks of the file name their folders.")
        _into(into, check)
        return
    if check:
        raise UsageError("--check goes with --into FILE.")
    chosen = [name for name, wanted in (("cells", per_cell), ("pairs", pairs), ("overall", overall)) if wanted]
    if len(chosen) > 1:
        raise UsageError("Give one of --per-cell, --pairs and --overall: each is a table of its own.")
    which = chosen[0] if chosen else "leaderboard"
    console = stderr_console()
    records = merged(folders, profile, console)
    tables = Tables(records)
    lines = list(tables.lines(which))
    if out is not None:
        text, package = csv_of(lines, tables.columns(which)), out.with_suffix(".datapackage.json")
        write_atomically(out, text)
        write_atomically(package, package_of(out.name, which, text))
        console.print(f"Written: {out} ({len(lines)} rows), {package}")
    if as_json:
        print_json(lines)
    elif out is None and records:
        print(shown(which, lines))
    require_records(records, folders, console)


def _into(file: Path, check: bool) -> None:
    """Update the blocks of a Markdown file, or check that they are up to date."""
    from bench.errors import UsageError
    from bench.publish import markdown

    document = markdown.load(file)
    if not document.blocks:
        raise UsageError(
            f"{file} has no block to fill: put the lines `<!-- leaderboard:begin FOLDER -->` and "
            "`<!-- leaderboard:end -->` where the table belongs."
        )
    if not check:
        document.write()
        print(f"{one_line(str(file))}: {document.blocks} block{'' if document.blocks == 1 else 's'}.")
    elif stale := document.stale():
        print(f"Stale: {', '.join(one_line(str(path)) for path in stale)}; "
              f"`python -m bench leaderboard --into {one_line(str(file))}` updates them.")  # fmt: skip
        raise typer.Exit(EXIT_FAILED)
