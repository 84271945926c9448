"""A table of the page: a data frame, how its cells are written, and the same as CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.leaderboard import to_csv
from bench.leaderboard.columns import Column
from bench.plugins.specs import method_label
from bench.report.marks import Mark
from bench.report.text import UNKNOWN, listed, shown, visible, with_interval

if TYPE_CHECKING:
    import pandas as pd

LABELS = {
    "rank_group": "Rank group",
    "n_seeds": "Seeds",
    "n_failed": "Failed",
    "n_examples": "Examples",
    "n_tasks": "Tasks",
    "n_cells": "Cells",
    "trainable_share_percent": "Share, %",
    "trainable_params": "Trained",
    "peak_train_memory_mib": "Peak memory, MiB",
    "train_examples_per_second": "Examples/s",
    "train_seconds": "Training, s",
    "pscp": "PSCP",
    "p_holm": "p, Holm",
    "p_value": "p",
    "friedman_p": "p, Friedman",
    "method_a": "Better (a)",
    "method_b": "Other (b)",
    "minimum_detectable": "Detectable",
}
UNITS = {"_percent": ", %", "_mib": ", MiB", "_ms": ", ms", "_seconds": ", s", "_bytes": ", bytes", "_per_second": "/s"}
METHODS = ("method", "method_a", "method_b")  # columns whose cells carry the method's mark
INTERVAL = "score"  # a column made of a row's mean and interval; the frame has these apart


class Interval(NamedTuple):
    """A drawn interval: where its ends and its mean are, from 0 to 100 over all intervals of its group."""

    low: float
    mean: float
    high: float


class Cell(NamedTuple):
    """text: as shown. sort: a number to sort by; None sorts by the text, and what is unknown comes last."""

    text: str
    sort: float | int | None = None
    unknown: bool = False
    mark: Mark | None = None
    interval: Interval | None = None


class Heading(NamedTuple):
    """kind: number, text, long (a <details>) or head (the cell that names its row). more: shown on request only."""

    key: str
    label: str
    kind: str
    more: bool
    about: str


class Filter(NamedTuple):
    label: str
    at: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """first: the row opens a new group of rows."""

    cells: tuple[Cell, ...]
    first: bool


@dataclass(frozen=True)
class Table:
    id: str
    title: str
    intro: str
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    filters: tuple[Filter, ...]
    csv: str
    folded: bool = False
    empty: str = "Nothing to show."
    same: tuple[str, ...] = field(default=())
    """What is the same in every row, `model: minilm-l6`, and so has no column of its own at first sight."""

    @property
    def has_more(self) -> bool:
        return any(heading.more for heading in self.headings)


def table(
    id: str,
    title: str,
    intro: str,
    frame: pd.DataFrame,
    marks: Mapping[str, Mark],
    *,
    first: Sequence[str] = (),
    filters: Sequence[str] = (),
    groups: Sequence[str] = (),
    long: Sequence[str] = (),
    about: Sequence[Column] = (),
    folded: bool = False,
    empty: str = "Nothing to show.",
    csv: str | None = None,
) -> Table:
    """A table of a frame, in the frame's order.

    Args:
        first: columns shown at first, in this order; the others come when they are asked for. Default: all.
        filters: columns with a choice of values.
        groups: columns that together say which rows belong together; those that never change are left to `more`.
        long: columns of long text, folded away.
        about: what columns mean, for those who point at a heading.
        csv: what the download holds, where it is more than the rows shown.
    """
    rows = rows_of(frame)
    names = [str(name) for name in frame.columns]
    keys = [*first, *(name for name in names if name not in first)]
    same = [key for key in groups if len({row[key] for row in rows}) == 1]
    scales = _scales(rows, groups) if INTERVAL in first and INTERVAL not in names else {}
    meaning = {column.name: column.description for column in about}
    headings = tuple(
        Heading(
            key,
            _label(key),
            _kind(key, rows, long),
            bool(first) and (key not in first or key in same),
            meaning.get(key, ""),
        )
        for key in keys
    )
    lines, before = [], None
    for row in rows:
        group = tuple(row[key] for key in groups)
        cells = tuple(_cell(row, heading, marks, scales.get(group)) for heading in headings)
        lines.append(Line(cells, before is not None and group != before))
        before = group
    return Table(
        id, title, intro, headings, tuple(lines),
        tuple(each for each in (_filter(key, headings, lines) for key in filters) if len(each.values) > 1),
        csv or to_csv(frame), folded, empty, tuple(f"{_label(key).lower()} {shown(rows[0][key])}" for key in same),
    )  # fmt: skip


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows with their values as Python has them."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    """A value of a frame as Python has it; what pandas calls missing is None."""
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value


def _label(key: str) -> str:
    if key in LABELS:
        return LABELS[key]
    for end, unit in UNITS.items():
        if key.endswith(end):
            key = key.removesuffix(end) + unit
    words = key.replace("ci95", "95 % CI").replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _kind(key: str, rows: Sequence[Mapping[str, Any]], long: Sequence[str]) -> str:
    if key in long:
        return "long"
    if key == "method":
        return "head"
    values = [row.get(key) for row in rows if row.get(key) is not None]
    numeric = bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return "number" if numeric or key == INTERVAL else "text"


def _cell(
    row: Mapping[str, Any], heading: Heading, marks: Mapping[str, Mark], scale: tuple[float, float] | None
) -> Cell:
    key = heading.key
    if key == INTERVAL and key not in row:
        mean, low, high = row["score_mean"], row["score_ci95_low"], row["score_ci95_high"]
        return Cell(
            with_interval(mean, low, high), mean, mean is None, interval=_interval(mean, low, high, scale)
        )  # fmt: skip
    value = row[key]
    if key in METHODS and value is not None:
        label = method_label(value, row.get("method_params") or "") if key == "method" else str(value)
        return Cell(visible(label), mark=marks.get(label))
    unknown = value is None or value == ""
    sortable = isinstance(value, int | float) and math.isfinite(value)
    return Cell(UNKNOWN if unknown else shown(value, key), value if sortable else None, unknown)


def _scales(rows: Sequence[Mapping[str, Any]], groups: Sequence[str]) -> dict[tuple[Any, ...], tuple[float, float]]:
    """The lowest and the highest end of the intervals of each group."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        ends = [row[key] for key in ("score_mean", "score_ci95_low", "score_ci95_high") if row[key] is not None]
        found.setdefault(tuple(row[key] for key in groups), []).extend(ends)
    return {group: (min(ends), max(ends)) for group, ends in found.items() if ends and min(ends) < max(ends)}


def _interval(
    mean: float | None, low: float | None, high: float | None, scale: tuple[float, float] | None
) -> Interval | None:
    if mean is None or scale is None:
        return None
    start, end = scale
    ends = (mean if low is None else low, mean, mean if high is None else high)
    return Interval(*(round(100 * (value - start) / (end - start), 1) for value in ends))


def _filter(key: str, headings: Sequence[Heading], lines: Sequence[Line]) -> Filter:
    at = next(at for at, heading in enumerate(headings) if heading.key == key)
    return Filter(headings[at].label, at, tuple(sorted({line.cells[at].text for line in lines})))


def caption(found: Table) -> str:
    """What a table's caption says beside its title: what all rows have in common."""
    return f"All rows: {listed(list(found.same))}." if found.same else ""
