"""What a worker is given: a cell, and where its files lie on this machine. Importing it loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.grid.cell import Cell


@dataclass(frozen=True)
class Assignment:
    """A cell with what a worker needs to run it.

    data, model: where the task's and the model's files are. plugins: files given with --plugin. workers: how many
    workers run on the machine. results: the folder for the record; None: only the caller gets it. keep_adapter: save
    the trained adapter in that folder, too. recipe_sources: where the settings of `cell.recipe` are from. retries: of
    each attempt that was lost with its machine, how far it had got. track: the trackers that log the cell.
    """

    cell: Cell
    data: Path
    model: Path
    plugins: tuple[Path, ...]
    workers: int
    results: Path | None
    keep_adapter: bool = False
    recipe_sources: Mapping[str, str] = field(default_factory=dict)
    retries: list[str] = field(default_factory=list)
    track: tuple[str, ...] = ()
