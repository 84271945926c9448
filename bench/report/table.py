"""A table of the page: what it shows of some rows, how their cells are written, and the rows as CSV."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.leaderboard.files import csv_of
from bench.plugins.specs import method_label
from bench.report.formatting import UNKNOWN, Style, column_label, listed, shown, visible, with_interval

Row = Mapping[str, Any]
METHODS = ("method", "method_a", "method_b")  # columns whose cells carry the method's symbol
ENDS = ("score_ci95_low", "score_mean", "score_ci95_high")
INTERVAL = "score"  # a column made of a row's mean and interval, where the rows have these apart


@dataclass(frozen=True)
class View:
    """How a table is shown.

    first: columns shown at first, if there, in this order; the others are shown on request. Empty: all are shown.
    filters: columns with a choice of values.
    groups: columns that together say which rows belong together; one that never changes is said once, in the caption.
    """

    first: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Interval(NamedTuple):
    """A drawn interval: its ends and its mean on a scale from 0 to 100 over all intervals of its group."""

    low: float
    mean: float
    high: float


class Cell(NamedTuple):
    """text: as shown. sort: a number to sort by; if None, it is the text. Unknown values are sorted last."""

    text: str
    sort: float | int | None = None
    unknown: bool = False
    style: Style | None = None
    interval: Interval | None = None


class Heading(NamedTuple):
    """kind: number, text, long (a <details>) or head (the cell that names its row). more: shown on request only."""

    key: str
    label: str
    kind: str
    more: bool
    about: str


class Filter(NamedTuple):
    """A choice of the values of the column at an index."""

    label: str
    at: int
    values: tuple[str, ...]


class Line(NamedTuple):
    """A row's cells, and whether it is the first of a new group."""

    cells: tuple[Cell, ...]
    first: bool


@dataclass(frozen=True)
class Table:
    """caption: what all rows have in common. rest: which rows are missing. csv: the download."""

    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    filters: tuple[Filter, ...]
    caption: str
    csv: str
    rest: str = ""


def make_table(
    rows: Sequence[Row],
    columns: Sequence[str],
    styles: Mapping[str, Style],
    view: View,
    about: Mapping[str, str] | None = None,
) -> Table:
    """A table of rows, in their order. about: what columns mean."""
    if not rows:
        return Table((), (), (), "", "")
    first = [key for key in view.first if key in (*columns, INTERVAL)]
    keys = [*first, *(name for name in columns if name not in first)]
    same = [key for key in view.groups if len({row[key] for row in rows}) == 1]
    more = {key for key in keys if first and (key not in first or key in same)}
    headings = tuple(
        Heading(key, column_label(key), _kind(key, rows), key in more, (about or {}).get(key, "")) for key in keys
    )
    scales = _scales(rows, view.groups) if INTERVAL in first and INTERVAL not in columns else {}
    lines, before = [], None
    for row in rows:
        group = tuple(row[key] for key in view.groups)
        cells = tuple(_cell(row, key, styles, scales.get(group)) for key in keys)
        lines.append(Line(cells, before not in (None, group)))
        before = group
    values = {key: sorted({line.cells[keys.index(key)].text for line in lines}) for key in view.filters}
    filters = [Filter(column_label(key), keys.index(key), tuple(each)) for key, each in values.items() if len(each) > 1]
    common = listed([f"{column_label(key).lower()} {shown(rows[0][key])}" for key in same])
    caption = f"All rows: {common}." if same else ""
    return Table(headings, tuple(lines), tuple(filters), caption, csv_of(rows, columns))


def _kind(key: str, rows: Iterable[Row]) -> str:
    if key in ("method", "traceback"):
        return "head" if key == "method" else "long"
    values = [row[key] for row in rows if row.get(key) is not None]
    numeric = bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return "number" if numeric or key == INTERVAL else "text"


def _cell(row: Row, key: str, styles: Mapping[str, Style], scale: tuple[float, float] | None) -> Cell:
    if key == INTERVAL and key not in row:
        low, mean, high = (row[key] for key in ENDS)
        return Cell(with_interval(mean, low, high), mean, mean is None, interval=_interval(row, scale))
    value = row[key]
    if key in METHODS and value is not None:
        label = method_label(value, row.get("method_params") or "") if key == "method" else str(value)
        return Cell(visible(label), style=styles.get(label))
    text = UNKNOWN if value == "" else shown(value, key)
    sortable = isinstance(value, int | float) and math.isfinite(value)
    return Cell(text, value if sortable else None, text == UNKNOWN)


def _scales(rows: Iterable[Row], groups: Sequence[str]) -> dict[tuple[Any, ...], tuple[float, float]]:
    """The lowest and the highest end of the intervals of each group."""
    found: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in groups)] += [row[key] for key in ENDS if row[key] is not None]
    return {group: (min(ends), max(ends)) for group, ends in found.items() if ends and min(ends) < max(ends)}


def _interval(row: Row, scale: tuple[float, float] | None) -> Interval | None:
    mean = row["score_mean"]
    if mean is None or scale is None:
        return None
    start, end = scale
    ends = (mean if row[key] is None else row[key] for key in ENDS)
    return Interval(*(round(100 * (value - start) / (end - start), 1) for value in ends))
