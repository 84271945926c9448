"""The tables of a published folder's records by method and task, for the claims that a page makes of them."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from statsmodels.stats.multitest import multipletests

from bench.leaderboard.files import csv_of
from bench.leaderboard.load import load_records
from bench.leaderboard.ranking import rankings
from bench.leaderboard.rows import by_row
from bench.leaderboard.tables import Tables
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.stats.over_tasks import OverTasks, Task

Line = dict[str, str]


def lines(file: Path) -> list[Line]:
    """A CSV file's lines but those of extra tests."""
    with file.open(encoding="utf-8", newline="") as opened:
        return [line for line in csv.DictReader(opened) if "/" not in line.get("task", "")]


@dataclass(frozen=True)
class Difference:
    """How far one method lies from another in points (hundredths of the score), with its 95 % interval."""

    points: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.points:+.1f} ({self.low:+.1f} to {self.high:+.1f})"


# How numbers and names are written


def named(names: Iterable[str]) -> str:
    """`a`, `b` and `c`; none where there is none."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]])) or "none"


def listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def between(values: Iterable[float], form: str) -> str:
    low, high = (format(end(values), form) for end in (min, max))
    return low if low == high else f"{low} to {high}"


def ends(of: Difference) -> str:
    return f"{of.low:.1f} to {of.high:.1f}"


def usual(values: Sequence[float]) -> str:
    """The mean of ratios of all tasks, and where they lie."""
    return f"{statistics.fmean(values):.2f} times ({between(values, '.2f')} by task)"


class Published:
    """The tables of a folder that holds one model, profile and suite; not its CSV files, which may be older."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _records(self) -> list[Record]:
        return load_records([self.folder]).records

    @cached_property
    def _tables(self) -> Tables:
        return Tables(self._records)

    def _lines(self, name: str) -> list[Line]:
        """A table's lines but those of extra tests, as its CSV file has them."""
        text = csv_of(self._tables.lines(name), self._tables.columns(name))
        return [line for line in csv.DictReader(io.StringIO(text)) if "/" not in line["task"]]

    @cached_property
    def rows(self) -> dict[tuple[str, str], Line]:
        """Lines of leaderboard.csv by method and task."""
        found = self._lines("leaderboard")
        return {(method_label(line["method"], line["method_params"]), line["task"]): line for line in found}

    @cached_property
    def cells(self) -> list[Line]:
        return self._lines("cells")

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(method for method, _ in self.rows))

    @property
    def tasks(self) -> list[str]:
        return sorted({task for _, task in self.rows})

    def value(self, column: str, method: str, task: str) -> float:
        return float(self.rows[method, task][column])

    def values(self, column: str, method: str) -> list[float]:
        """A column of a method, a number a task."""
        return [self.value(column, method, task) for task in self.tasks]

    def mean(self, method: str) -> float:
        """The method's mean score over the tasks."""
        return statistics.fmean(self.values("score_mean", method))

    def ratios(self, column: str, method: str, other: str) -> list[float]:
        """A method's values over another's, a number a task."""
        pairs = zip(self.values(column, method), self.values(column, other), strict=True)
        return [a / b for a, b in pairs]

    def best(self, task: str) -> set[str]:
        """The methods of a task's first rank group."""
        return {method for (method, on), line in self.rows.items() if on == task and line["rank_group"] == "1"}

    @cached_property
    def all_pairs(self) -> list[Line]:
        return self._lines("pairs")

    def differences(self, method: str, other: str) -> dict[str, Difference]:
        """How far a method lies from another on each task."""
        found = {}
        for line in self.all_pairs:
            if {line["method_a"], line["method_b"]} == {method, other}:
                sign = 100 if line["method_a"] == method else -100
                low, high = sorted(sign * float(line[end]) for end in ("ci95_low", "ci95_high"))
                found[line["task"]] = Difference(sign * float(line["difference"]), low, high)
        return found

    @cached_property
    def _over_tasks(self) -> OverTasks[str]:
        tasks = [
            Task([row.label for row in ranking.rows], ranking.comparisons)
            for group, ranking in rankings(by_row(self._records)).items()
            if "/" not in group.task
        ]
        return OverTasks(self.methods, tasks)

    def difference(self, method: str, other: str) -> Difference:
        """Of the means over tasks, its interval simultaneous for all comparisons with one method."""
        found = self._over_tasks.difference(method, other, family=len(self.methods) - 1)
        assert found.half_width is not None
        ends = found.difference, found.difference - found.half_width, found.difference + found.half_width
        return Difference(*(100 * end for end in ends))

    def apart(self, better: str, worse: str, of: str) -> list[str]:
        """The tasks on which two differ significantly, corrected for all comparisons with `of`, one of them."""
        return [task for task in self.tasks if (better, worse) in self._significant(of, task)]

    @cache  # noqa: B019 - a test module has one of these, and asks the same again and again
    def _significant(self, of: str, task: str) -> set[tuple[str, str]]:
        """The better and the worse of each pair with `of` that differs significantly on a task."""
        pairs = [line for line in self.all_pairs if line["task"] == task and of in (line["method_a"], line["method_b"])]
        rejected, *_ = multipletests([float(line["p_value"]) for line in pairs], method="holm")
        return {(line["method_a"], line["method_b"]) for line, yes in zip(pairs, rejected, strict=True) if yes}
