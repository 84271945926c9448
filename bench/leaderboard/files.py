"""The tables as files of a results folder, with the description of their columns beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.files import write_atomically
from bench.leaderboard.boards import Boards, Name, table_columns
from bench.leaderboard.package import Table, describe
from bench.records.record import Record
from bench.stats.pscp import Pscp

PACKAGE = "datapackage.json"
SUMMARIES: dict[Name, str] = {
    "leaderboard": "A row a method and task, over seeds.",
    "cells": "A row a cell: one training and its evaluation.",
    "pairs": "A row for every two methods on a task.",
    "overall": "A row a method over all tasks.",
}


def tables(records: Sequence[Record], pscp: Pscp | None = None) -> dict[str, str]:
    """Every table's text by file name, and `datapackage.json`: the same bytes for the same records."""
    boards = Boards(records, pscp)
    texts = {f"{name}.csv": boards.csv(name) for name in SUMMARIES}
    made = {f"{name}.csv": _table(name, texts[f"{name}.csv"], pscp) for name in SUMMARIES}
    return {**texts, PACKAGE: describe(made, _constants(pscp))}


def describe_one(file: str, name: Name, text: str, pscp: Pscp | None = None) -> str:
    """The data package of one table, a key of SUMMARIES, that was written to a file of that name."""
    return describe({file: _table(name, text, pscp)}, _constants(pscp))


def _table(name: Name, text: str, pscp: Pscp | None) -> Table:
    return Table(SUMMARIES[name], table_columns(name, pscp), text)


def _constants(pscp: Pscp | None) -> dict[str, Any] | None:
    return {"pscp": pscp.model_dump(mode="json")} if pscp else None


def write(folder: Path, records: Sequence[Record], pscp: Pscp | None = None) -> list[Path]:
    """Write them into a folder, each whole or not at all; the paths written."""
    written = []
    for name, text in tables(records, pscp).items():
        write_atomically(folder / name, text)
        written.append(folder / name)
    return written
