"""Leaderboards inside a Markdown file: what stands between two comments is made from a results folder's CSV files.

    <!-- leaderboard:begin results/standard -->
    <!-- leaderboard:end -->

    <!-- pairs:begin results/standard against pasta -->
    <!-- pairs:end -->

The comment names the folder, as seen from the Markdown file. The first block is a table and a plot, the second how far
every method lies from one of them. Nothing is computed anew but means over tasks: every number is one of
leaderboard.csv, overall.csv or pairs.csv, so that a table says what was published, or is seen to be stale.
"""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import NamedTuple

from bench.errors import UsageError
from bench.publish.folder import SUMS, changed
from bench.publish.markdown import plot
from bench.publish.markdown.plot import Plot
from bench.publish.markdown.tables import Line, differences, table
from bench.sanitize import markdown

_BEGIN = re.compile(
    r"^<!-- (?P<kind>leaderboard|pairs):begin (?P<folder>\S.*?)(?: against (?P<method>\S+))? -->$", re.MULTILINE
)
_ANY = re.compile(r"^<!-- (?:leaderboard|pairs):(?:begin|end)\b.*-->$", re.MULTILINE)


class _Board(NamedTuple):
    """What all lines of a block have in common."""

    model: str
    profile: str
    preset: str

    @property
    def title(self) -> str:
        return f"{self.model}, profile {self.profile}, suite {self.preset}"


class Made(NamedTuple):
    """A Markdown file with its blocks made anew, how many these are, and the plots that they show."""

    text: str
    blocks: int
    plots: dict[Path, str]


def make(file: Path) -> Made:
    """The file as it should be; nothing is written.

    Raises:
        UsageError: if the file or a folder's CSV cannot be read, a block has no end, or a folder is not as published.
    """
    text, plots = _made_anew(file)
    return Made(text, len(_BEGIN.findall(text)), {path: drawn.draw() for path, drawn in plots.items()})


def stale(file: Path) -> list[Path]:
    """What of a Markdown file and its plots is not as it should be.

    Of a plot only the data that it shows is compared: another version of the plotting library sets texts elsewhere.

    Raises:
        UsageError: see `make`.
    """
    text, plots = _made_anew(file)
    found = [] if text == _read(file) else [file]
    return found + [
        path for path, wanted in plots.items()
        if not path.is_file() or plot.digest_of(_read(path)) != wanted.digest
    ]  # fmt: skip


def _made_anew(file: Path) -> tuple[str, dict[Path, Plot]]:
    """The file as it should be, and what its plots should show."""
    text = _read(file)
    plots: dict[Path, Plot] = {}
    parts, at = [], 0
    for begin in _BEGIN.finditer(text):
        kind, name, method = begin["kind"], begin["folder"], begin["method"]
        following = _ANY.search(text, begin.end())
        if following is None or following.group() != f"<!-- {kind}:end -->":
            raise UsageError(f"{file}: the block of {name} has no line `<!-- {kind}:end -->`.")
        if (kind == "pairs") != (method is not None):
            raise UsageError(
                f"{file}: a block begins with `leaderboard:begin FOLDER` or `pairs:begin FOLDER against METHOD`, "
                f"and not with `{begin.group()}`."
            )
        folder = file.parent / name
        if differing := changed(folder):
            raise UsageError(f"{folder} is not what was published: {differing[0]} differs from {SUMS}.")
        if method is not None:
            block = _pairs_block(folder, method)
        else:
            block, path, drawn = _leaderboard_block(file, folder)
            if path in plots:
                raise UsageError(f"{file}: two blocks would draw the same plot {path}.")
            plots[path] = drawn
        parts += [text[at : begin.end()], "\n", block, "\n"]
        at = following.start()
    return "".join([*parts, text[at:]]), plots


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from None


def _leaderboard_block(file: Path, folder: Path) -> tuple[str, Path, Plot]:
    """A folder's table, where its plot belongs, and the plot."""
    board, lines = _of_one_board(folder, "leaderboard.csv")
    ranks = {
        line["method"]: line["average_rank"]
        for line in _csv(folder / "overall.csv")
        if (line["model"], line["profile"], line["preset"]) == board
    }
    # Beside the Markdown file in docs/, wherever that file lies.
    path = (file.parent if file.parent.name == "docs" else file.parent / "docs") / f"leaderboard-{folder.name}.svg"
    address = Path(os.path.relpath(path, file.parent)).as_posix().replace(" ", "%20")
    text = "\n\n".join(
        [
            f"Model {markdown(board.title)}.",
            table(lines, ranks),
            "Scores: mean over seeds ± sample standard deviation. mean: of the tasks' scores. rank: average over "
            "tasks. share: trainable, without the head. s: all optimiser steps of one training, mean over tasks. MiB: "
            "peak while training, the largest of the tasks. A range is over tasks; a dash is unknown. In the plot: "
            "means with their 95 % interval over seeds, cut where it leaves the panel.",
            f"![Score against trainable parameters]({address})",
        ]
    )
    return text, path, Plot(lines, board.title)


def _pairs_block(folder: Path, method: str) -> str:
    """A folder's table of how far every method lies from one of them."""
    board, lines = _of_one_board(folder, "pairs.csv")
    known = {line[side] for line in lines for side in ("method_a", "method_b")}
    if method not in known:
        raise UsageError(f"{folder} compares no method {method!r}; it has: {', '.join(sorted(known))}.")
    return "\n\n".join(
        [
            f"Model {markdown(board.title)}.",
            differences(lines, method),
            f"Each method's score less that of {markdown(method)}, in points (hundredths), with its 95 % interval over "
            "seeds and test examples. Bold: told apart after Holm's correction for a task's comparisons in this table. "
            "mean: of the tasks' differences; its interval takes the tasks for independent.",
        ]
    )


def _of_one_board(folder: Path, name: str) -> tuple[_Board, list[Line]]:
    """What a folder's CSV file is of, and its lines but those of extra tests.

    Raises:
        UsageError: if it is of several boards, or of none.
    """
    lines = _csv(folder / name)
    boards = {_Board(line["model"], line["profile"], line["preset"]) for line in lines}
    if len(boards) != 1:
        raise UsageError(f"{folder} holds {len(boards)} combinations of model, profile and preset; a block shows one.")
    return boards.pop(), [line for line in lines if "/" not in line["task"]]


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None
