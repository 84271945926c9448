"""`leaderboard`: the tables of results folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import (
    EXIT_FAILED,
    Against,
    AsJson,
    Folders,
    OnlyProfile,
    merged,
    print_json,
    require_records,
    stderr_console,
)
from bench.sanitize import legal, one_line
from bench.suggestions import suggest

if TYPE_CHECKING:
    from rich.console import Console

    from bench.leaderboard.tables import Tables


def leaderboard(
    folders: Folders = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the table here, as CSV with NAME.datapackage.json beside it or as --format."),
    ] = None,
    per_cell: Annotated[
        bool, typer.Option("--per-cell", help="One row per cell instead of one per method and task.")
    ] = False,
    pairs: Annotated[bool, typer.Option("--pairs", help="One row per pair of methods on a task.")] = False,
    overall: Annotated[bool, typer.Option("--overall", help="One row per method over all tasks, with ranks.")] = False,
    against: Against = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="csv|markdown|latex|html", help="Print or write this format.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Update the blocks of this Markdown file; each names its results folder.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="With --into: write nothing, exit with 1 if stale.")] = False,
    profile: OnlyProfile = None,
    as_json: AsJson = False,
) -> None:
    """Print the tables of results folders, or write one as a file."""
    from bench.errors import UsageError
    from bench.leaderboard.shown import FORMATS, TEXT, shown
    from bench.leaderboard.tables import Tables

    chosen = [name for name, wanted in (("cells", per_cell), ("pairs", pairs), ("overall", overall)) if wanted]
    if into is not None:
        if folders or out or chosen or against or form or profile or as_json:
            raise UsageError("--into takes --check alone: the blocks of the file name their folders.")
        _into(into, check)
        return
    if check:
        raise UsageError("--check goes with --into FILE.")
    if len(chosen) > 1:
        raise UsageError("Give one of --per-cell, --pairs and --overall: each is a table of its own.")
    if form not in (None, *FORMATS):
        raise UsageError(f"There is no format {form!r}{suggest(str(form), FORMATS)}")
    if form and as_json:
        raise UsageError("Give either --json or --format.")
    which = chosen[0] if chosen else "leaderboard"
    if against and (which == "cells" or (which == "leaderboard" and (form or as_json or out))):
        raise UsageError("--against changes nothing in this table: give --overall or --pairs.")
    console = stderr_console()
    records = merged(folders, profile, console)
    if as_json and not records:
        print_json([])
    require_records(records, folders, console)
    tables = Tables(records)
    if out is not None:
        _write(out, which, tables, form or FORMATS[0], against, console)
    if as_json:
        print_json(list(tables.lines(which, against)))
    elif out is None:
        print(legal(shown(which, tables, form or TEXT, against)).rstrip("\n"))


def _write(out: Path, which: str, tables: Tables, form: str, against: str | None, console: Console) -> None:
    from bench.files import write_atomically
    from bench.leaderboard.files import package_of
    from bench.leaderboard.shown import FORMATS, shown

    text = shown(which, tables, form, against).rstrip("\n") + "\n"
    write_atomically(out, text)
    if form != FORMATS[0]:
        console.print(f"Written: {out}")
        return
    package = out.with_suffix(".datapackage.json")
    write_atomically(package, package_of(out.name, which, text))
    console.print(f"Written: {out} ({len(list(tables.lines(which, against)))} rows), {package}")


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
