"""A table of the page: what it shows of some rows, how their cells are written, and the rows as CSV."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.leaderboard.files import csv_of
from bench.leaderboard.layout import label_of
from bench.report.charts import costs_of
from bench.report.formatting import FLAG, UNKNOWN, Style, column_label, listed, shown, visible
from bench.report.svg import Axis, score_range

Row = Mapping[str, Any]
METHODS = ("method", "method_a", "method_b")  # columns whose cells carry the method's symbol
LONG = 40  # characters: a column with longer texts is as wide as these, and its texts are wrapped


class Drawn(NamedTuple):
    """A column made of others: a value with what is written after it, and its interval as a bar."""

    low: str
    mean: str
    high: str
    deviation: str | None = None


DRAWN = {
    "score": Drawn("score_ci95_low", "score_mean", "score_ci95_high", "score_std"),
    "to_best": Drawn("difference_to_best_ci95_low", "difference_to_best", "difference_to_best_ci95_high"),
    "to_against": Drawn("difference_to_against_ci95_low", "difference_to_against", "difference_to_against_ci95_high"),
}


@dataclass(frozen=True)
class View:
    """How a table is shown.

    first: columns shown at first, if there, in this order; the others are shown on request. Empty: all are shown.
    filters: columns with a choice of values.
    groups: columns that together say which rows belong together; one that never changes is said once, in the caption.
    csv: whether the rows can be downloaded.
    """

    first: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    csv: bool = True


class Interval(NamedTuple):
    """A drawn interval: its ends and its mean from 0 to 100, an axis of its group; zero: where that is, if on it."""

    low: float
    mean: float
    high: float
    zero: float | None = None


class Cell(NamedTuple):
    """text: as shown. sort: a number to sort by; if None, it is the text. Unknown values are sorted last.

    after: in small, such as a deviation. letters: of the row's score. flag: what is wrong with it.
    """

    text: str
    sort: float | int | None = None
    unknown: bool = False
    style: Style | None = None
    interval: Interval | None = None
    after: str = ""
    letters: str = ""
    flag: str = ""


class Heading(NamedTuple):
    """kind: number, text, wide (long texts), long (a <details>) or head (the cell that names its row).

    more: shown on request only.
    """

    key: str
    label: str
    kind: str
    more: bool
    about: str


class Filter(NamedTuple):
    """A choice of the values of the column at an index."""

    key: str
    label: str
    at: int
    values: tuple[str, ...]


class Line(NamedTuple):
    """A row's cells, whether it is the first of a new group, and its costs (see `charts.costs_of`) if it has any."""

    cells: tuple[Cell, ...]
    first: bool
    costs: str


@dataclass(frozen=True)
class Table:
    """caption: what all rows have in common. rest: which rows are missing. csv: the download; empty: there is none."""

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
    """A table of rows, in their order. about: what columns mean. A value may be a `Cell`, which is shown as it is."""
    if not rows:
        return Table((), (), (), "", "")
    first = [key for key in view.first if key in columns or (key in DRAWN and DRAWN[key].mean in columns)]
    first = [key for key in first if _known(rows, key if key in columns else DRAWN[key].mean)]
    keys = [*first, *(name for name in columns if name not in first)]
    same = [key for key in view.groups if len({row[key] for row in rows}) == 1]
    more = {key for key in keys if first and (key not in first or key in same)}
    headings = tuple(
        Heading(key, column_label(key), _kind(key, rows), key in more, (about or {}).get(key, "")) for key in keys
    )
    scales = {key: _scales(rows, view.groups, DRAWN[key]) for key in first if key in DRAWN and key not in columns}
    lines, before = [], None
    for row in rows:
        group = tuple(row[key] for key in view.groups)
        cells = tuple(_cell(row, key, styles, scales.get(key, {}).get(group)) for key in keys)
        lines.append(Line(cells, before not in (None, group), costs_of(row) if "adapter_bytes" in row else ""))
        before = group
    values = {key: sorted({line.cells[keys.index(key)].text for line in lines}) for key in view.filters}
    filters = [
        Filter(key, column_label(key), keys.index(key), tuple(each)) for key, each in values.items() if len(each) > 1
    ]
    common = listed([f"{column_label(key).lower()} {shown(rows[0][key])}" for key in same])
    caption = f"All rows: {common}." if same else ""
    return Table(headings, tuple(lines), tuple(filters), caption, csv_of(rows, columns) if view.csv else "")


def _known(rows: Iterable[Row], key: str) -> bool:
    """Whether a column says something in some row; one without is shown on request only."""
    nothing = (None, "", 0, "ok") if key.startswith("n_") or key == "status" else (None, "")
    return any(row.get(key) not in nothing for row in rows)


def _kind(key: str, rows: Sequence[Row]) -> str:
    if key in ("method", "traceback"):
        return "head" if key == "method" else "long"
    values = [row[key] for row in rows if row.get(key) is not None]
    if key in DRAWN or (values and all(isinstance(value, Cell) for value in values)):
        return "number"
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "number"
    return "wide" if any(len(str(value)) > LONG for value in values) else "text"


def _cell(row: Row, key: str, styles: Mapping[str, Style], scale: tuple[float, float] | None) -> Cell:
    if key in DRAWN and key not in row:
        return _drawn(row, DRAWN[key], scale)
    value = row[key]
    if isinstance(value, Cell):
        return value
    if key in METHODS and value is not None:
        label = label_of(row) if key == "method" else str(value)
        return Cell(visible(label), style=styles.get(label), flag=flag_of(row) if key == "method" else "")
    text = UNKNOWN if value == "" else shown(value, key)
    sortable = isinstance(value, int | float) and math.isfinite(value)
    return Cell(text, value if sortable else None, text == UNKNOWN)


def flag_of(row: Row) -> str:
    """What is wrong with a row, in words: collapsed trainings, or none better than a constant answer."""
    collapsed, constant = row.get("n_collapsed") or 0, row.get("n_constant") or 0
    if not (collapsed or constant):
        return ""
    return f"{FLAG} {max(collapsed, constant)} of its trainings no better than a constant answer"


def _drawn(row: Row, drawn: Drawn, scale: tuple[float, float] | None) -> Cell:
    low, mean, high = (row.get(key) for key in drawn[:3])
    if mean is None:
        return Cell(UNKNOWN, unknown=True)
    after = ""
    if drawn.deviation is not None:
        after = "" if row.get(drawn.deviation) is None else f"± {shown(row[drawn.deviation], 'score')}"
    elif low is not None and high is not None:
        after = f"{shown(low, 'difference')} to {shown(high, 'difference')}"
    interval = None
    if scale is not None:
        axis = Axis(*scale, 0.0, 100.0)
        zero = axis.at(0.0) if drawn.deviation is None and scale[0] <= 0 <= scale[1] else None
        start, end = (axis.at(mean if value is None else value) for value in (low, high))
        interval = Interval(start, axis.at(mean), end, zero)
    return Cell(shown(mean, drawn.mean), mean, interval=interval, after=after)


def _scales(rows: Iterable[Row], groups: Sequence[str], drawn: Drawn) -> dict[tuple[Any, ...], tuple[float, float]]:
    """The range in which the intervals of each group are drawn: as that of a chart."""
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.get(drawn.mean) is not None:
            found[tuple(row[key] for key in groups)].append(row)
    return {
        group: score_range(
            [row[drawn.mean] for row in members],
            [row[end] for row in members for end in (drawn.low, drawn.high) if row.get(end) is not None],
        )
        for group, members in found.items()
    }
