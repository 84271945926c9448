"""The geometry of the page's charts: scores against costs, and loss curves.

charts.html.j2 draws them as SVG, so that no script is needed to show or to print them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bench.plugins import registry
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.report.formatting import Style, column_label, listed, shown, visible
from bench.report.svg import Axis, Box, Label, Tick, cost_axis, place_labels, score_range
from bench.stats.combined import Floats

Row = Mapping[str, Any]
Styles = Mapping[str, Style]

MAX_POINTS = 40  # of one loss curve: what a small panel can show
MAX_LABELS = 15  # of a chart: the best; the others have tooltips, and all are in the table
WIDE, NARROW, PANEL = (1150.0, 350.0), (440.0, 340.0), (220.0, 130.0)  # width and height
FONT = 12.0
WILD = 1.5  # an axis of losses ends at this many times the median of the methods' highest losses

# Bounds of the built-in metrics: not in the plugins, since their source is part of what identifies results.


class Cost(NamedTuple):
    """What a score is plotted against. unit: in which a reader names the most that it may be; size: of that unit."""

    name: str
    column: str
    title: str
    axis: str
    unit: str
    size: int = 1


COSTS = (
    Cost("share", "trainable_share_percent", "Trainable share", "Trainable share without the head, %", "%"),
    Cost("memory", "peak_train_memory_mib", "Peak memory", "Peak memory while training, MiB", "MiB"),
    Cost("seconds", "train_seconds", "Training time", "Training time, s", "s"),
    Cost("bytes", "adapter_bytes", "Adapter size", "Size of the saved adapter, head included", "kB", 1000),
)
TOOLTIP = (*(cost.column for cost in COSTS), "train_examples_per_second", "n_seeds", "n_failed", "n_collapsed")


class Interval(NamedTuple):
    """Ends of an interval, as coordinates. cut: which of them are beyond the axis, and drawn as an arrow there."""

    low: float
    high: float
    cut_low: bool
    cut_high: bool


class Mark(NamedTuple):
    """A method in a chart. hollow: significantly worse than the best. costs: see `costs_of`."""

    x: float
    y: float
    style: Style
    hollow: bool
    text: str
    label: Label | None
    interval: Interval | None
    tip: str
    costs: str


@dataclass(frozen=True)
class Chart:
    """description: the chart in words, for screen readers. level: the height of the best method.

    broken: where the axis of costs is interrupted, between 0 and its logarithmic part.
    """

    cost: Cost
    description: str
    note: str
    width: float
    height: float
    frame: Box
    titles: tuple[str, str]
    ticks: tuple[list[Tick], list[Tick]]
    marks: list[Mark]
    front: str
    level: float | None
    broken: float | None


class Point(NamedTuple):
    """A method's score and its interval, to be plotted against a cost of its row."""

    row: Row
    label: str
    score: float
    low: float | None
    high: float | None
    worse: bool
    flag: str
    tip: str


@dataclass(frozen=True)
class Scores:
    """What charts of several costs share. axis: the title of scores. level: whether the best has a line.

    bounds: between which values the scores' metric is.
    """

    points: Sequence[Point]
    axis: str
    of: str
    more_is_better: bool
    bounds: tuple[float, float]
    level: bool = False


def costs_of(row: Row) -> str:
    """The costs of a row in the order of COSTS, for the page's filters; unknown is empty."""
    return ",".join("" if row.get(cost.column) is None else f"{row[cost.column]:.6g}" for cost in COSTS)


def bounds_of(metric: str | None) -> tuple[float, float]:
    """Between which values a metric is; those of a metric that is not built in are unknown."""
    found = registry.built_in_metrics().get(metric or "")
    return found.plugin.bounds if found else (-math.inf, math.inf)


def tooltip(label: str, score: str, row: Row) -> str:
    """A method's values, a line each."""
    known = (f"{column_label(key)}: {shown(row[key], key)}" for key in TOOLTIP if row.get(key) is not None)
    letters = [f"Letters: {row['letters']}"] if row.get("letters") else []
    return "\n".join([visible(label), score, *letters, *known])


# Scores against a cost


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names of the points that no other dominates by being as good in both costs and better in one, sorted."""

    def dominated(first: float, second: float) -> bool:
        return any(a <= first and b <= second and (a, b) != (first, second) for a, b in points.values())

    front = (name for name, point in points.items() if not dominated(*point))
    return sorted(front, key=lambda name: (points[name], name))


def scatter(scores: Scores, cost: Cost, styles: Styles, size: tuple[float, float]) -> Chart | None:
    """The chart of these scores against a cost; None if no method has both."""
    known = {point.label: point for point in scores.points if point.row.get(cost.column) is not None}
    if not known:
        return None
    width, height = size
    frame = Box(54.0, 12.0, width - 12.0, height - 46.0)
    costs = [float(point.row[cost.column]) for point in known.values()]
    x = cost_axis(costs, frame.left, frame.right, of_bytes=cost.unit == "kB")
    ends = [end for point in known.values() for end in (point.low, point.high) if end is not None]
    y = Axis(*score_range([p.score for p in known.values()], ends, scores.bounds), frame.bottom, frame.top)
    sign = -1 if scores.more_is_better else 1
    front = pareto({name: (float(p.row[cost.column]), sign * p.score) for name, p in known.items()})
    best = min(known.values(), key=lambda point: sign * point.score)
    marks = _marks(list(known.values()), (cost, x, y), styles, frame)
    corners = [(x.at(float(known[name].row[cost.column])), y.at(known[name].score)) for name in front]
    described = "; ".join(
        f"{name} ({shown(known[name].score, 'score')} at {shown(known[name].row[cost.column], cost.column)})"
        for name in front
    )
    return Chart(
        cost,
        visible(
            f"Scatter chart: {scores.axis} {scores.of}, against {cost.axis}{', logarithmic' if x.log else ''}. "
            f"{len(known)} methods. Pareto front from the cheapest on: {described}."
        ),
        _note(scores, known, y, front),
        width,
        height,
        frame,
        (
            f"{cost.axis}{' (log)' if x.log else ''}",
            f"{scores.axis}{', lower is better' if sign > 0 else ''}",
        ),
        (x.ticks(8 if width > NARROW[0] else 5), y.ticks(6)),
        marks,
        "".join(f"M{a} {b}" if at == 0 else f"H{a}V{b}" for at, (a, b) in enumerate(corners)),
        y.at(best.score) if scores.level and len(known) > 1 else None,
        None if x.zero is None else (x.zero + x.start) / 2,
    )


def _marks(points: Sequence[Point], axes: tuple[Cost, Axis, Axis], styles: Styles, frame: Box) -> list[Mark]:
    cost, x, y = axes
    places = [(x.at(float(point.row[cost.column])), y.at(point.score)) for point in points]
    intervals = [_interval(point, y) for point in points]
    texts = [visible(point.label) + point.flag for point in points]
    texts = [text if len(text) < 32 else f"{text[:30]}…" for text in texts]
    lines = [
        Box(at - 2, interval.high, at + 2, interval.low)
        for (at, _), interval in zip(places, intervals, strict=True)
        if interval is not None
    ]
    named = [(*place, text) for place, text in zip(places, texts, strict=True)][:MAX_LABELS]
    labels = [*place_labels(named, lines, frame, FONT), *[None] * len(points)]
    return [
        Mark(*place, styles[point.label], point.worse, text, label, interval, point.tip, costs_of(point.row))
        for point, place, interval, text, label in zip(points, places, intervals, texts, labels, strict=False)
    ]


def _interval(point: Point, y: Axis) -> Interval | None:
    if point.low is None or point.high is None:
        return None
    return Interval(y.at(point.low), y.at(point.high), point.low < y.low, point.high > y.high)


def _note(scores: Scores, known: Mapping[str, Point], y: Axis, front: Sequence[str]) -> str:
    """Who is on the front, whose interval is cut, and who is missing."""
    parts = [f"Front: {listed([visible(name) for name in front])}."]
    cut = [
        visible(name)
        for name, p in known.items()
        if p.low is not None and p.high is not None and (p.low < y.low or p.high > y.high)
    ]
    if cut:
        parts.append(f"Arrow: the interval goes beyond the axis ({listed(cut)}).")
    if unknown := sorted(visible(point.label) for point in scores.points if point.label not in known):
        parts.append(f"Not shown, since this cost is not known: {listed(unknown)}.")
    if len(known) > MAX_LABELS:
        parts.append(f"Names of the first {MAX_LABELS} methods only; point at a mark for the others.")
    return " ".join(parts)


# Loss curves


class Panel(NamedTuple):
    """One method. seeds, mean: paths, the latter empty if there is none. tip: its values in words."""

    label: str
    style: Style
    seeds: list[str]
    mean: str
    tip: str


@dataclass(frozen=True)
class Losses:
    """A panel for each method, all with the same axes: optimiser steps and the training loss."""

    note: str
    width: float
    height: float
    frame: Box
    ticks: tuple[list[Tick], list[Tick]]
    panels: list[Panel]


def path(axes: tuple[Axis, Axis], points: Iterable[tuple[float, float]]) -> str:
    """A line through these points, interrupted where a value is not finite."""
    drawn, pen = "", "M"
    for x, y in points:
        if not math.isfinite(y):
            pen = "M"
            continue
        drawn += f"{pen}{axes[0].at(x):g} {axes[1].at(y):g}"
        pen = "L"
    return drawn


def thin(losses: Sequence[float], stretch: int) -> tuple[Floats, Floats]:
    """The middle of each stretch of steps (the last may be shorter), and its mean loss; nan where none is finite."""
    starts = np.arange(0, len(losses), stretch)
    finite = np.isfinite(losses)
    with np.errstate(invalid="ignore"):  # 0 / 0
        means = np.add.reduceat(np.where(finite, losses, 0.0), starts) / np.add.reduceat(finite, starts, dtype=int)
    return (starts + 1 + np.minimum(starts + stretch, len(losses))) / 2, means


def losses(records: Iterable[Record], order: Sequence[str], styles: Styles) -> Losses | None:
    """A panel for each method, in this order: all its seeds, their mean, and the means of the others.

    None if no method has losses.
    """
    by_label: dict[str, list[Record]] = {label: [] for label in order}
    for record in sorted(records, key=lambda record: record.cell.seed):
        if record.losses:
            by_label[method_label(record.cell.method, record.cell.variant)].append(record)
    by_label = {label: members for label, members in by_label.items() if members}
    if not by_label:
        return None
    longest = max(len(record.losses) for members in by_label.values() for record in members)
    stretch = math.ceil(longest / MAX_POINTS)
    curves = {label: [thin(record.losses, stretch) for record in members] for label, members in by_label.items()}
    means = {label: _mean(members, stretch) for label, members in by_label.items()}
    if (y_range := _loss_range(curves)) is None:
        return None
    frame = Box(38.0, 6.0, PANEL[0] - 8.0, PANEL[1] - 20.0)
    axes = Axis(0.0, float(longest), frame.left, frame.right), Axis(*y_range, frame.bottom, frame.top)
    panels = []
    for label, seeds in curves.items():
        steps, values = means[label]
        count = f"{len(seeds)} seed{'s' * (len(seeds) > 1)}"
        last = f", mean of the last steps {values[-1]:.4f}" if len(values) and math.isfinite(values[-1]) else ""
        mean = path(axes, zip(steps, values, strict=True))
        paths = [path(axes, zip(*seed, strict=True)) for seed in seeds] if len(seeds) > 1 or not mean else []
        panels.append(
            Panel(visible(label), styles[label], paths, mean, f"Training loss of {visible(label)}, {count}{last}")
        )
    point = f"a point is the mean of {stretch} steps" if stretch > 1 else "a point is a step"
    note = f"By optimiser step; {point}. Thin: one seed. Thick: the mean of the seeds. Grey: the other methods' means."
    if any(np.nanmax(values, initial=-math.inf) > y_range[1] for seeds in curves.values() for _, values in seeds):
        note += " Losses above the axis are drawn at its upper end."
    return Losses(note, *PANEL, frame, (axes[0].ticks(4), axes[1].ticks(4)), panels)


def _mean(members: Sequence[Record], stretch: int) -> tuple[Floats, Floats]:
    """The mean curve of the seeds that finished, as far as all of them go."""
    finished = [record.losses for record in members if record.status == "ok"]
    if not finished:
        return np.array([]), np.array([])
    common = min(map(len, finished))
    thinned = [thin(each[:common], stretch) for each in finished]
    return thinned[0][0], np.mean([values for _, values in thinned], axis=0)


def _loss_range(curves: Mapping[str, Sequence[tuple[Floats, Floats]]]) -> tuple[float, float] | None:
    """From the least loss to the highest, as far as that is no single method's; None without a finite loss."""
    found = [np.concatenate([values for _, values in seeds]) for seeds in curves.values()]
    found = [values[np.isfinite(values)] for values in found if np.isfinite(values).any()]
    if not found:
        return None
    low, highest = min(float(values.min()) for values in found), [float(values.max()) for values in found]
    high = min(max(highest), low + WILD * (float(np.median(highest)) - low))
    return (low, high) if high > low else (low - 0.5, low + 0.5)
