"""Validation score against learning rate, a panel a method and task, from the lines of trials.csv, as SVG.

Colours are custom properties of report.css: within the page the drawing follows its theme. It needs no script.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.plugins.specs import method_label
from bench.report.formatting import visible
from bench.report.templates import environment, in_light_colours

ALL_TASKS, THIS_TASK = "all tasks", "this task"  # in the column `chosen`: for which tasks
Line = Mapping[str, Any]  # of trials.csv, as text or as values

NARROWEST, WIDEST, ALL_PANELS, HEIGHT = 130.0, 420.0, 760.0, 64.0
GAP, HEADER, LEGEND, CHARACTER = 46.0, 30.0, 620.0, 6.8
DECADES = [10.0**exponent for exponent in range(-9, 2)]


class Point(NamedTuple):
    """A trial. tip: its values in words."""

    x: float
    y: float
    tip: str


class Panel(NamedTuple):
    """A method on a task. solid, dashed: lines of trials without and with dropout. lost: failed or collapsed.

    ends: of the axis of scores, the better one first. published: places of rates of the paper.
    """

    left: float
    top: float
    solid: str
    dashed: str
    points: list[Point]
    lost: list[Point]
    chosen: list[Point]
    ends: tuple[str, str] | None
    ticks: list[tuple[float, str]]
    published: list[float]


def rates_svg(lines: Iterable[Line], standalone: bool = False) -> str | None:
    """The drawing; None if there is no trial. standalone: a file of its own, with its colours written out.

    Raises:
        KeyError, ValueError: for a line that is none of trials.csv: a column is missing, or no finite number.
    """
    cells: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if _number(line, "learning_rate"):
            cells[method_label(line["method"], line["method_params"] or "")][line["task"]].append(line)
    if not cells:
        return None
    tasks = sorted({task for by_task in cells.values() for task in by_task})
    width = min(max(ALL_PANELS / len(tasks), NARROWEST), WIDEST)
    labels = CHARACTER * max(map(len, cells)) + 16
    panels = []
    for row, by_task in enumerate(cells.values()):
        axis = _axis([line for each in by_task.values() for line in each])
        for column, task in enumerate(tasks):
            place = labels + GAP + column * (width + GAP), HEADER + row * (HEIGHT + GAP)
            if by_task[task]:
                panels.append(_panel(place, width, by_task[task], axis))
    drawn = (
        environment()
        .get_template("rates.svg.j2")
        .render(
            panels=panels,
            methods=[(visible(label), HEADER + row * (HEIGHT + GAP) + HEIGHT / 2) for row, label in enumerate(cells)],
            tasks=[(visible(task), labels + GAP + column * (width + GAP)) for column, task in enumerate(tasks)],
            size=(max(labels + len(tasks) * (width + GAP) + 12, LEGEND), HEADER + len(cells) * (HEIGHT + GAP) + 40),
            panel=(width, HEIGHT),
            options=any(panel.dashed for panel in panels),
            published=any(panel.published for panel in panels),
        )
    )
    return in_light_colours(drawn) if standalone else drawn


def _number(line: Line, name: str) -> float | None:
    """None: unknown. A ValueError for what is no finite number."""
    value = line.get(name)
    if value in (None, ""):
        return None
    number = float(str(value))
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value}")
    return number


def _rates(line: Line) -> list[float]:
    """The published rates, which are the same in every line of a method."""
    return [float(rate) for rate in str(line.get("published_rates") or "").split()]


def _axis(lines: Sequence[Line]) -> tuple[float, float]:
    """The ends of a method's rates, on all tasks, as logarithms."""
    found = [math.log10(rate) for line in lines for rate in (_number(line, "learning_rate"), *_rates(line)) if rate]
    low, high = min(found), max(found)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _panel(place: tuple[float, float], width: float, lines: Sequence[Line], axis: tuple[float, float]) -> Panel:
    def x(rate: float) -> float:
        return round(width * (math.log10(rate) - axis[0]) / (axis[1] - axis[0]), 1)

    worse = -1 if str(lines[0].get("higher_is_better")) == "False" else 1
    usable = [line for line in lines if line["status"] == "ok" and _number(line, "validation_score") is not None]
    scores = [worse * (_number(line, "validation_score") or 0.0) for line in usable]
    low, high = min(scores, default=0.0), max(scores, default=0.0)

    def point(line: Line, y: float) -> Point:
        return Point(x(_number(line, "learning_rate") or 1.0), round(y, 1), _tip(line))

    by_line: dict[bool, list[Point]] = defaultdict(list)
    points, chosen = [], []
    picks = {str(line.get("chosen") or "") for line in lines}
    pick = THIS_TASK if THIS_TASK in picks else ALL_TASKS if ALL_TASKS in picks else None
    for line, score in sorted(
        zip(usable, scores, strict=True), key=lambda each: _number(each[0], "learning_rate") or 0
    ):
        made = point(line, HEIGHT * (high - score) / (high - low) if high > low else HEIGHT / 2)
        points.append(made)
        by_line[_number(line, "dropout") == 0].append(made)
        # Where nobody says, as in trials of earlier versions, the best.
        if line.get("chosen") == pick if pick else score == high:
            chosen.append(made)
    return Panel(
        *place,
        solid=_path(by_line[True]),
        dashed=_path(by_line[False]),
        points=points,
        lost=[point(line, HEIGHT) for line in lines if line not in usable],
        chosen=chosen[:1],
        ends=(f"{worse * high:.3f}", f"{worse * low:.3f}") if usable else None,
        ticks=[
            (x(rate), f"{rate:.0e}".replace("e-0", "e−")) for rate in DECADES if axis[0] <= math.log10(rate) <= axis[1]
        ],
        published=sorted({x(rate) for rate in _rates(lines[0])}),
    )


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{each.x} {each.y}" for each in points) if points else ""


def _tip(line: Line) -> str:
    """A trial in words."""
    named = ("learning_rate", "dropout", "metric", "validation_score", "validation_std", "seeds", "status")
    parts = [f"{name}: {_value(line, name)}" for name in named if line.get(name) not in (None, "")]
    if line.get("chosen"):
        parts.append(f"chosen for {line['chosen']}")
    return visible("\n".join(parts))


def _value(line: Line, name: str) -> str:
    return f"{_number(line, name):.4g}" if name.startswith("validation") else str(line[name])
