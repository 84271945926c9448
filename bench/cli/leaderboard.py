"""`leaderboard`: the tables of results folders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.common import AsJson, Folders, OnlyProfile, PscpSuite, merged, print_json, pscp_of, stderr_console

if TYPE_CHECKING:
    import pandas as pd

    from bench.leaderboard import Boards
    from bench.pscp import Pscp


def leaderboard(
    folders: Folders = None,
    out: Annotated[Path | None, typer.Option(help="Write the CSV here, and NAME.datapackage.json beside it.")] = None,
    per_cell: Annotated[bool, typer.Option("--per-cell", help="One row a cell instead of one a method.")] = False,
    pairs: Annotated[bool, typer.Option("--pairs", help="One row for every two methods of a task.")] = False,
    overall: Annotated[bool, typer.Option("--overall", help="One row a method: average ranks over tasks.")] = False,
    pscp: PscpSuite = None,
    profile: OnlyProfile = None,
    as_json: AsJson = False,
) -> None:
    """Build the leaderboard of results folders: a table, a CSV file, or JSON."""
    from bench.errors import UsageError
    from bench.leaderboard import Boards, files
    from bench.store import write_atomically

    chosen = [name for name, wanted in (("cells", per_cell), ("pairs", pairs), ("overall", overall)) if wanted]
    if len(chosen) > 1:
        raise UsageError("Give one of --per-cell, --pairs and --overall: each is a table of its own.")
    which: Literal["leaderboard", "cells", "pairs", "overall"] = chosen[0] if chosen else "leaderboard"  # type: ignore[assignment]
    constants = pscp_of(pscp)
    boards = Boards(merged(folders, profile, stderr_console()).records, constants)
    if out is not None:
        text = boards.csv(which)
        write_atomically(out, text)
        write_atomically(out.with_suffix(".datapackage.json"), files.describe_one(out.name, which, text, constants))
    if as_json:
        frame: pd.DataFrame = getattr(boards, which)
        print_json(frame.to_dict("records"))
    elif out is None and which == "cells":
        sys.stdout.write(boards.csv(which))
    elif out is None:
        print("\n\n".join(filter(None, _shown(which, boards, constants))))


def _shown(which: str, boards: Boards, constants: Pscp | None) -> list[str]:
    from bench import claims, tables

    if which == "pairs":
        return [tables.pairs_table(boards.pairs)]
    if which == "overall":
        return [tables.overall_table(boards.overall)]
    frame = boards.leaderboard
    return [
        tables.leaderboard_table(frame),
        tables.legend(frame, constants),
        tables.claims_table(claims.load(), set(frame["task"])),
    ]
