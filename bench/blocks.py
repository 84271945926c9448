"""Leaderboards inside a Markdown file: what stands between two comments is made from a results folder's CSV files.

    <!-- leaderboard:begin results/standard -->
    <!-- leaderboard:end -->

The comment names the folder, as seen from the Markdown file. Nothing is computed anew but a mean over tasks: every
number is one of leaderboard.csv or overall.csv, so that a table says what was published, or is seen to be stale.
"""

from __future__ import annotations

import csv
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import publishing, score_plot
from bench.errors import UsageError
from bench.escaping import markdown
from bench.grid import method_label
from bench.score_plot import Plot

_BEGIN = re.compile(r"^<!-- leaderboard:begin (?P<folder>\S.*?) -->$", re.MULTILINE)
_ANY = re.compile(r"^<!-- leaderboard:(?:begin|end)\b.*-->$", re.MULTILINE)
_END = "<!-- leaderboard:end -->"

Line = Mapping[str, str]


class Made(NamedTuple):
    """A Markdown file with its blocks made anew, and the plots that they show."""

    text: str
    plots: dict[Path, str]


def make(file: Path) -> Made:
    """The file as it should be; nothing is written.

    Raises:
        UsageError: if the file or a folder's CSV cannot be read, a block has no end, or a folder is not as published.
    """
    text, plots = _made_anew(file)
    return Made(text, {path: plot.draw() for path, plot in plots.items()})


def stale(file: Path) -> list[Path]:
    """What of a Markdown file and its plots is not as it should be.

    Of a plot only the data that it shows is compared: another version of the plotting library sets texts elsewhere.

    Raises:
        UsageError: see `make`.
    """
    text, plots = _made_anew(file)
    found = [] if text == _read(file) else [file]
    return found + [
        path for path, plot in plots.items()
        if not path.is_file() or score_plot.digest_of(_read(path)) != plot.digest
    ]  # fmt: skip


def _made_anew(file: Path) -> tuple[str, dict[Path, Plot]]:
    """The file as it should be, and what its plots should show."""
    text = _read(file)
    plots: dict[Path, Plot] = {}
    parts, at = [], 0
    for begin in _BEGIN.finditer(text):
        following = _ANY.search(text, begin.end())
        if following is None or following.group() != _END:
            raise UsageError(f"{file}: the block of {begin['folder']} has no line `{_END}`.")
        block, path, plot = _block(file, begin["folder"])
        if path in plots:
            raise UsageError(f"{file}: two blocks would draw the same plot {path}.")
        plots[path] = plot
        parts += [text[at : begin.end()], "\n", block, "\n"]
        at = following.start()
    return "".join([*parts, text[at:]]), plots


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from None


def _block(file: Path, name: str) -> tuple[str, Path, Plot]:
    """A folder's table, where its plot belongs, and the plot."""
    folder = file.parent / name
    if changed := publishing.changed(folder):
        raise UsageError(f"{folder} is not what was published: {changed[0]} differs from {publishing.SUMS}.")
    lines = [line for line in _csv(folder / "leaderboard.csv") if "/" not in line["task"]]
    boards = {(line["model"], line["profile"], line["preset"]) for line in lines}
    if len(boards) != 1:
        raise UsageError(f"{folder} holds {len(boards)} combinations of model, profile and preset; a block shows one.")
    board = boards.pop()
    ranks = {
        line["method"]: line["average_rank"]
        for line in _csv(folder / "overall.csv")
        if (line["model"], line["profile"], line["preset"]) == board
    }
    # Beside the Markdown file in docs/, wherever that file lies.
    path = (file.parent if file.parent.name == "docs" else file.parent / "docs") / f"leaderboard-{folder.name}.svg"
    title = f"{board[0]}, profile {board[1]}, suite {board[2]}"
    address = Path(os.path.relpath(path, file.parent)).as_posix().replace(" ", "%20")
    text = "\n\n".join(
        [
            f"Model {markdown(board[0])}, profile {markdown(board[1])}, suite {markdown(board[2])}.",
            table(lines, ranks),
            "Scores: mean over seeds ± sample standard deviation. mean: of the tasks' scores. rank: average over "
            "tasks. share: trainable, without the head. s: all optimiser steps of one training, mean over tasks. MiB: "
            "peak while training, the largest of the tasks. A range is over tasks; a dash is unknown.",
            f"![Score against trainable parameters]({address})",
        ]
    )
    return text, path, Plot(lines, title)


def table(lines: Sequence[Line], ranks: Mapping[str, str]) -> str:
    """Lines of leaderboard.csv as a Markdown table, a row a method, the best mean first.

    ranks: average_rank of overall.csv by method. A method without a score on every task has no mean, and stands last.
    """
    metrics = {line["task"]: line["metric"] for line in lines if line["metric"]}
    tasks = sorted({line["task"] for line in lines})
    by_method: dict[str, dict[str, Line]] = {}
    for line in lines:
        by_method.setdefault(method_label(line["method"], line["method_params"]), {})[line["task"]] = line
    means = {label: _mean(of, tasks) for label, of in by_method.items()}
    ordered = sorted(by_method, key=lambda label: (-(means[label] if means[label] is not None else -9e9), label))  # type: ignore[operator]
    heads = [f"{markdown(task)}, {markdown(metrics.get(task, 'no score'))}" for task in tasks]
    rows = [["method", "share, %", *heads, "mean", "rank", "s", "MiB"], ["---", *["---:"] * (len(tasks) + 5)]]
    for label in ordered:
        of = by_method[label]
        shares = _numbers(of, "trainable_share_percent")
        seconds, memory = _numbers(of, "train_seconds"), _numbers(of, "peak_train_memory_mib")
        rows.append(
            [
                markdown(label),
                _range(shares),
                *(_score(of.get(task)) for task in tasks),
                _shown(means[label], ".4f"),
                _shown(float(ranks[label]) if label in ranks else None, ".2f"),
                _shown(statistics.fmean(seconds) if seconds else None, ",.0f"),
                _shown(max(memory, default=None), ",.0f"),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None


def _numbers(of: Mapping[str, Line], column: str) -> list[float]:
    return [float(line[column]) for line in of.values() if line[column]]


def _mean(of: Mapping[str, Line], tasks: Sequence[str]) -> float | None:
    scores = [of[task]["score_mean"] for task in tasks if task in of]
    return statistics.fmean(map(float, scores)) if len(scores) == len(tasks) and all(scores) else None


def _score(line: Line | None) -> str:
    if line is None or not line["score_mean"]:
        return "–"
    spread = f" ± {float(line['score_std']):.4f}" if line["score_std"] else ""
    return f"{float(line['score_mean']):.4f}{spread}"


def _range(values: Sequence[float]) -> str:
    ends = list(dict.fromkeys(f"{value:.3f}" for value in (min(values), max(values)))) if values else ["–"]
    return " to ".join(ends)


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
