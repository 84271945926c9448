"""`leaderboard`: the table of a results folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import DEFAULT_RESULTS, AsJson, print_json, read_records, stderr_console


def leaderboard(
    folder: Annotated[Path, typer.Argument(help="A results folder.")] = DEFAULT_RESULTS,
    out: Annotated[Path | None, typer.Option(help="Write the CSV here.")] = None,
    per_cell: Annotated[bool, typer.Option("--per-cell", help="One row a cell instead of one a method.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the leaderboard of a results folder: a table, a CSV file, or JSON."""
    from bench import claims
    from bench import leaderboard as boards
    from bench.store import write_atomically
    from bench.tables import claims_table, leaderboard_table, legend

    frame = (boards.per_cell if per_cell else boards.aggregated)(read_records(folder, stderr_console()))
    if out is not None:
        write_atomically(out, boards.to_csv(frame))
    if as_json:
        print_json(frame.to_dict("records"))
    elif out is None and per_cell:
        sys.stdout.write(boards.to_csv(frame))
    elif out is None:
        parts = (leaderboard_table(frame), legend(frame), claims_table(claims.load(), set(frame["task"])))
        print("\n\n".join(filter(None, parts)))
