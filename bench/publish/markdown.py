"""Blocks of a Markdown file that are made of a published folder's records.

    <!-- leaderboard:begin results/standard -->
    <!-- leaderboard:end -->

    <!-- pairs:begin results/standard against pasta -->
    <!-- pairs:end -->

The comment names the folder, relative to the Markdown file. The first block is what `leaderboard --overall` and
`leaderboard` write with `--format markdown`, and a plot; the second what `leaderboard --pairs --against METHOD` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.files import write_atomically
from bench.leaderboard import layout
from bench.leaderboard.formats import as_markdown
from bench.leaderboard.load import load_records
from bench.leaderboard.shown import legend_of, shown
from bench.leaderboard.tables import Tables
from bench.publish.folder import SUMS, changed
from bench.records.record import Record
from bench.report.picture import picture

_BEGIN = re.compile(r"^<!-- (leaderboard|pairs):begin (\S.*?)(?: against (\S+))? -->$", re.MULTILINE)
_COMMENT = re.compile(r"^<!-- (?:leaderboard|pairs):(?:begin|end)\b.*-->$", re.MULTILINE)

PICTURE = (
    "In the picture: bars are 95 % intervals of the difference to the best, simultaneous for all pairs, with an arrow "
    "where they go beyond the axis; hollow marks are significantly worse than the best (dashed line); dotted: the "
    "Pareto front; † has trainings that are no better than a constant answer."
)


@dataclass(frozen=True)
class Document:
    """A Markdown file: its text as it is and with all blocks updated, and its plots as they should be, by path."""

    file: Path
    text: str
    updated: str
    blocks: int
    plots: Mapping[Path, str]

    def stale(self) -> list[Path]:
        """The files that are out of date."""
        plots = [path for path, plot in self.plots.items() if not path.is_file() or _read(path) != plot]
        return plots if self.text == self.updated else [self.file, *plots]

    def write(self) -> None:
        """Bring the file and its plots up to date."""
        for path, plot in self.plots.items():
            write_atomically(path, plot)
        write_atomically(self.file, self.updated)


def load(file: Path) -> Document:
    """Read a Markdown file and generate its blocks; nothing is written.

    Raises:
        UsageError: if the file or a folder cannot be read, a block is malformed, or a folder differs from its hashes.
    """
    text = _read(file)
    plots: dict[Path, str] = {}
    read: dict[Path, tuple[list[Record], Tables]] = {}
    parts, at, blocks = [], 0, 0
    for begin in _BEGIN.finditer(text):
        kind, name, method = begin.groups()
        end = _COMMENT.search(text, begin.end())
        if end is None or end.group() != f"<!-- {kind}:end -->":
            raise UsageError(f"{file}: the block of {name} has no line `<!-- {kind}:end -->`.")
        if (kind == "pairs") != (method is not None):
            raise UsageError(
                f"{file}: a block begins with `leaderboard:begin FOLDER` or `pairs:begin FOLDER against METHOD`, "
                f"and not with `{begin.group()}`."
            )
        folder = file.parent / name
        if folder not in read:
            read[folder] = _read_folder(folder)
        records, tables = read[folder]
        if method is not None:
            block = shown("pairs", tables, "markdown", method)
        else:
            docs = file.parent if file.parent.name == "docs" else file.parent / "docs"
            path = docs / f"leaderboard-{folder.name}.svg"
            if path in plots:
                raise UsageError(f"{file}: two blocks would draw the same plot {path}.")
            block = _leaderboard_block(tables)
            if plot := picture(records):
                plots[path] = plot
                link = Path(os.path.relpath(path, file.parent)).as_posix().replace(" ", "%20")
                block += f"\n\n![Mean score against trainable share]({link})\n\n{PICTURE}"
        parts += [text[at : begin.end()], "\n", block.strip(), "\n"]
        at = end.start()
        blocks += 1
    return Document(file, text, "".join([*parts, text[at:]]), blocks, plots)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from None


def _read_folder(folder: Path) -> tuple[list[Record], Tables]:
    """The records and tables of a folder of one model, profile, preset and pooling that is as it was published."""
    if differing := changed(folder):
        raise UsageError(f"{folder} is not what was published: {differing[0]} differs from {SUMS}.")
    records = load_records([folder]).records
    tables = Tables(records)
    boards = len(layout.by_board(list(tables.lines("overall"))))
    if boards != 1:
        raise UsageError(
            f"{folder} holds {boards} combinations of model, profile, preset and pooling; a block shows one."
        )
    return records, tables


def _leaderboard_block(tables: Tables) -> str:
    """The overall table and that of methods and tasks."""
    lines, over = list(tables.lines("leaderboard")), list(tables.lines("overall"))
    layouts = [*layout.overall(over), *layout.matrix(lines, over)]
    return as_markdown(layouts, legend_of(layouts, tables))
