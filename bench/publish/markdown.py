"""Blocks of a Markdown file that are generated from a published folder's CSV files.

    <!-- leaderboard:begin results/standard -->
    <!-- leaderboard:end -->

    <!-- pairs:begin results/standard against pasta -->
    <!-- pairs:end -->

The comment names the folder, relative to the Markdown file. The first block is a table and a plot, the second the
differences of all methods from one of them; blocks.md.j2 says what they look like. Only means over tasks, and Holm's
correction for the comparisons with that one method, are computed here: every other number is one of the CSV files.
"""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from bench.errors import UsageError
from bench.files import write_atomically
from bench.plugins.specs import method_label
from bench.publish.folder import SUMS, changed
from bench.publish.plot import Plot, digest_of
from bench.sanitize import markdown
from bench.stats import ALPHA
from bench.stats.multiple import holm

Difference = tuple[float, float, float, bool]
"""Points, the ends of their 95 % interval, and whether they are significant; NaN is unknown."""

_BEGIN = re.compile(r"^<!-- (leaderboard|pairs):begin (\S.*?)(?: against (\S+))? -->$", re.MULTILINE)
_COMMENT = re.compile(r"^<!-- (?:leaderboard|pairs):(?:begin|end)\b.*-->$", re.MULTILINE)
_BOARD = ["model", "profile", "preset", "pooling"]  # columns that are the same in all rows of a block
_UNKNOWN: Difference = (math.nan, math.nan, math.nan, False)


@dataclass(frozen=True)
class Document:
    """A Markdown file: its text as it is and with all blocks updated, and what its plots should show, by path."""

    file: Path
    text: str
    updated: str
    blocks: int
    plots: Mapping[Path, Plot]

    def stale(self) -> list[Path]:
        """The files that are out of date.

        Of a plot only the data is compared: another version of the plotting library places texts differently.
        """
        plots = [
            path for path, plot in self.plots.items() if not path.is_file() or digest_of(_read(path)) != plot.digest
        ]
        return plots if self.text == self.updated else [self.file, *plots]

    def write(self) -> None:
        """Bring the file and its plots up to date."""
        for path, plot in self.plots.items():
            write_atomically(path, plot.draw())
        write_atomically(self.file, self.updated)


def load(file: Path) -> Document:
    """Read a Markdown file and generate its blocks; nothing is written.

    Raises:
        UsageError: if the file or a CSV file cannot be read, a block is malformed, or a folder differs from its hashes.
    """
    text = _read(file)
    plots: dict[Path, Plot] = {}
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
        if differing := changed(folder):
            raise UsageError(f"{folder} is not what was published: {differing[0]} differs from {SUMS}.")
        if method is not None:
            block = _pairs_block(folder, method)
        else:
            docs = file.parent if file.parent.name == "docs" else file.parent / "docs"
            path = docs / f"leaderboard-{folder.name}.svg"
            if path in plots:
                raise UsageError(f"{file}: two blocks would draw the same plot {path}.")
            block, plots[path] = _leaderboard_block(folder, Path(os.path.relpath(path, file.parent)))
        parts += [text[at : begin.end()], "\n", block.strip(), "\n"]
        at = end.start()
        blocks += 1
    return Document(file, text, "".join([*parts, text[at:]]), blocks, plots)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from None


def _leaderboard_block(folder: Path, plot: Path) -> tuple[str, Plot]:
    """A folder's table, with a link to its plot at that path, and the plot."""
    board, title = _board(folder, "leaderboard.csv")
    overall = _csv(folder / "overall.csv")
    overall = overall[(overall[_BOARD] == board[_BOARD].iloc[0]).all(axis=1)]
    ranks = dict(zip(overall["method"], overall["average_rank"].astype(float), strict=True))
    link = plot.as_posix().replace(" ", "%20")
    text = _template().render(title=title, tasks=_tasks(board), rows=leaderboard_rows(board, ranks), plot=link)
    return text, Plot(board, title)


def _pairs_block(folder: Path, method: str) -> str:
    """A folder's table of differences from one method."""
    pairs, title = _board(folder, "pairs.csv")
    known = {*pairs["method_a"], *pairs["method_b"]}
    if method not in known:
        raise UsageError(f"{folder} compares no method {method!r}; it has: {', '.join(sorted(known))}.")
    return _template().render(title=title, tasks=_tasks(pairs), rows=pairs_rows(pairs, method), method=method)


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("bench.publish", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = markdown
    environment.filters["number"] = lambda value, form: "–" if math.isnan(value) else format(value, form)
    return environment.get_template("blocks.md.j2")


def _board(folder: Path, name: str) -> tuple[pd.DataFrame, str]:
    """A CSV file's rows without those of extra tests, and what they are of.

    Raises:
        UsageError: if they are of several models, profiles, presets or poolings, or of none.
    """
    rows = _csv(folder / name)
    boards = rows[_BOARD].drop_duplicates()
    if len(boards) != 1:
        raise UsageError(
            f"{folder} holds {len(boards)} combinations of model, profile, preset and pooling; a block shows one."
        )
    model, profile, preset, pooling = boards.iloc[0]
    of = f"{model}, profile {profile}, suite {preset}"
    return rows[~rows["task"].str.contains("/")], of if pooling == "model" else f"{of}, {pooling} pooling"


def _csv(path: Path) -> pd.DataFrame:
    """A CSV file's cells as they are written; one from before there was a choice of pooling has the models' own."""
    try:
        read = pd.read_csv(path, dtype=str, keep_default_na=False)
        return read if "pooling" in read else read.assign(pooling="model")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None


def _tasks(rows: pd.DataFrame) -> list[str]:
    """Each task with its metric."""
    metrics = {task: metric for task, metric in zip(rows["task"], rows["metric"], strict=True) if metric}
    return [f"{task}, {metrics.get(task, 'no score')}" for task in sorted(set(rows["task"]))]


def leaderboard_rows(board: pd.DataFrame, ranks: Mapping[str, float]) -> list[dict[str, Any]]:
    """What a table of leaderboard.csv shows, a row a method, the best mean first; NaN is unknown.

    ranks: the average rank by method. A method without a score on every task has no mean, and stands last.
    """
    numeric = ["score_mean", "score_std", "trainable_share_percent", "train_seconds", "peak_train_memory_mib"]
    labels = [method_label(*names) for names in zip(board["method"], board["method_params"], strict=True)]
    board = board[["task", *numeric]].replace("", "nan").astype(dict.fromkeys(numeric, float)).assign(label=labels)
    by_method = board.groupby("label")[numeric]
    lowest, highest, averages = by_method.min(), by_method.max(), by_method.mean()
    scores = board.pivot(index="label", columns="task", values="score_mean")
    deviations = board.pivot(index="label", columns="task", values="score_std")
    means = scores.mean(axis=1, skipna=False).sort_values(ascending=False, kind="stable")
    return [
        {
            "label": label,
            "shares": [extreme.at[label, "trainable_share_percent"] for extreme in (lowest, highest)],
            "scores": list(zip(scores.loc[label], deviations.loc[label], strict=True)),
            "mean": means.at[label],
            "rank": ranks.get(label, math.nan),
            "seconds": averages.at[label, "train_seconds"],
            "memory": highest.at[label, "peak_train_memory_mib"],
        }
        for label in map(str, means.index)
    ]


def pairs_rows(pairs: pd.DataFrame, method: str) -> list[dict[str, Any]]:
    """What a table of pairs.csv shows: the differences from a method, a row for each other one, the best mean first.

    Holm's correction is for the comparisons of a task in this table, which are fewer than all pairs. A row's last
    difference is the tasks' mean; a method that was not compared on every task has none, and stands last.
    """
    tasks = sorted(set(pairs["task"]))
    pairs = pairs[(pairs["method_a"] == method) | (pairs["method_b"] == method)]
    tested = pairs[pairs["p_holm"] != ""]  # pairs with one common seed are not
    adjusted = tested.groupby("task")["p_value"].transform(lambda values: holm(values.astype(float).tolist()))
    found: dict[str, dict[str, Difference]] = {}
    for at, row in pairs[pairs["ci95_low"] != ""].iterrows():
        other = row["method_a"]
        value, low, high = (100 * float(row[name]) for name in ("difference", "ci95_low", "ci95_high"))
        if other == method:
            other, value, low, high = row["method_b"], -value, -high, -low
        found.setdefault(other, {})[row["task"]] = value, low, high, bool(adjusted.get(at, 1.0) < ALPHA)
    rows = [
        {"label": other, "differences": [*(by_task.get(task, _UNKNOWN) for task in tasks), _mean(by_task, len(tasks))]}
        for other, by_task in sorted(found.items())
    ]
    return sorted(rows, key=lambda row: (math.isnan(mean := row["differences"][-1][0]), -mean))


def _mean(differences: Mapping[str, Difference], tasks: int) -> Difference:
    """Its half width is that of a mean of independent differences: the root of summed squares, over their number."""
    if len(differences) < tasks:
        return _UNKNOWN
    mean = statistics.fmean(value for value, *_ in differences.values())
    half = math.hypot(*((high - low) / 2 for _, low, high, _ in differences.values())) / tasks
    return mean, mean - half, mean + half, False
