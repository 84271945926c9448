"""Geometry of charts: axes with ticks, and labels that do not cover each other.

Coordinates are an SVG's: y grows downwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.stats.combined import Floats

DECADE = 10.0  # values that span more than this get a logarithmic axis
LEAST = 1e-9  # smaller costs are drawn as 0
MARGIN = 0.06  # of an axis, beyond the outermost values
BEYOND = 0.25  # of the range of the means: as far beyond it an axis shows intervals, longer ones are cut
CHARACTER = 0.6  # of the font size: the mean width of a character
MARK = 7.0  # half of a mark's width
CROWDED = 40.0  # marks that are closer to each other
# What labels cost by the area that they cover, and by their distance from the mark.
COVERS_LABEL, COVERS_MARK, COVERS_LINE, OUTSIDE, DISTANCE, CROSSES_MARK = 8.0, 4.0, 1.0, 20.0, 1.5, 150.0
UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


class Box(NamedTuple):
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float


class Tick(NamedTuple):
    """A mark of an axis and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """From values to coordinates; values beyond low and high are put at the ends.

    zero: the place of 0 on a logarithmic axis, which has none of its own. of_bytes: for ticks such as 10 kB.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    zero: float | None = None
    of_bytes: bool = False

    def at(self, value: float) -> float:
        if self.zero is not None and value <= LEAST:
            return self.zero
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int) -> list[Tick]:
        """At most about `most` ticks at round values."""
        values = _log_ticks(self.low, self.high, most) if self.log else self._linear_ticks(most)
        if self.zero is not None:
            values = [0.0, *values]
        return [Tick(self.at(value), self._text(value)) for value in values]

    def _linear_ticks(self, most: int) -> list[float]:
        found = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        return [float(value) for value in found if self.low <= value <= self.high]

    def _text(self, value: float) -> str:
        if self.of_bytes:
            for size, name in UNITS:
                if value >= size:
                    return f"{value / size:g} {name}"
        return f"{value:,.10g}".replace("-", "−")


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(found) <= most:
            break
    return found[:: math.ceil(len(found) / most)] if found else []


def cost_axis(values: Sequence[float], start: float, end: float, of_bytes: bool = False) -> Axis:
    """An axis for costs, none of them negative: logarithmic where they span more than a decade, with a place for 0."""
    low, high = min(values), max(values)
    known = [value for value in values if value > LEAST]
    if not known or high <= DECADE * min(known):
        margin = MARGIN * (high - low) or MARGIN * high or 1.0
        return Axis(max(low - margin, 0.0), high + margin, start, end, of_bytes=of_bytes)
    zero = None
    if low <= LEAST:
        zero, start = start + 2 * MARK, start + 6 * MARK
    factor = (high / min(known)) ** MARGIN
    return Axis(min(known) / factor, high * factor, start, end, True, zero, of_bytes)


def score_range(
    means: Sequence[float], ends: Iterable[float], bounds: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """The ends of an axis for means and their intervals: never beyond `bounds`, nor stretched by a wide interval."""
    low, high = min(means), max(means)
    ends = [*ends, low, high]
    spread = high - low or max(ends) - min(ends) or abs(high) or 1.0
    spread = max(spread, LEAST, LEAST * abs(low), LEAST * abs(high))  # ends that rounding would make one
    least, most = MARGIN * spread, BEYOND * spread if high > low else spread
    bottom = low - min(max(low - min(ends), least), most)
    top = high + min(max(max(ends) - high, least), most)
    return max(bottom, min(bounds[0], low)), min(top, max(bounds[1], high))


class Label(NamedTuple):
    """Text beside a mark: where it is (its baseline), and where the line from the mark ends, if it needs one."""

    x: float
    y: float
    anchor: str
    leader: tuple[float, float] | None


def place_labels(
    points: Sequence[tuple[float, float, str]], lines: Sequence[Box], frame: Box, size: float
) -> list[Label]:
    """A label for each point, beside it or with a line to it, so that they cover little of what else is drawn.

    points: x, y and text of the label. lines: what else is drawn, where labels should not be. size: of the font.
    """
    marks = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y, _ in points]
    taken, labels = list[Box](), dict[int, Label]()
    # The most crowded first: the others have a choice.
    crowded = [sum(math.hypot(x - a, y - b) < CROWDED for a, b, _ in points) for x, y, _ in points]
    for at in sorted(range(len(points)), key=lambda at: (-crowded[at], points[at])):
        x, y, text = points[at]
        away, boxes, found = zip(*_candidates(x, y, CHARACTER * size * len(text), size), strict=True)
        inside = _covered(boxes, [frame])
        costs = (
            DISTANCE * np.array(away) * size / 10
            + COVERS_LABEL * _covered(boxes, taken)
            + COVERS_MARK * _covered(boxes, marks)
            + COVERS_LINE * _covered(boxes, lines)
            + OUTSIDE * (_area(boxes[0]) - inside)
        )
        ends = np.array([label.leader or (x, y) for label in found])
        costs += CROSSES_MARK * _crossed((x, y), ends, [other[:2] for other in points if other[:2] != (x, y)])
        best = int(np.argmin(costs))
        taken.append(boxes[best])
        labels[at] = found[best]
    return [labels[at] for at in range(len(points))]


def _area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def _covered(boxes: Sequence[Box], others: Sequence[Box]) -> Floats:
    """The area of each box that others cover, summed over these: [boxes]."""
    if not others:
        return np.zeros(len(boxes))
    a, b = np.array(boxes)[:, None], np.array(others)[None]
    shared = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    found: Floats = np.maximum(shared, 0.0).prod(axis=-1).sum(axis=1)
    return found


def _crossed(start: tuple[float, float], ends: Floats, marks: Sequence[tuple[float, float]]) -> Floats:
    """How many of these marks each line from `start` to one of `ends` touches: [ends]."""
    if not marks:
        return np.zeros(len(ends))
    line, to_mark = ends[:, None] - start, np.array(marks)[None] - start
    length = np.maximum((line**2).sum(axis=-1), 1.0)
    nearest = np.clip((line * to_mark).sum(axis=-1) / length, 0.0, 1.0)[..., None] * line
    found: Floats = (np.hypot(*np.moveaxis(to_mark - nearest, -1, 0)) < MARK).sum(axis=1).astype(float)
    return found


def _candidates(x: float, y: float, width: float, size: float) -> Iterable[tuple[float, Box, Label]]:
    """Places for a label of a mark at x and y, the next ones first: distance, what it covers, and the label."""
    for away in (MARK + 3, 2.4 * MARK, 4 * MARK, 6 * MARK, 9 * MARK, 13 * MARK):
        for turn in (0, 8, 2, 14, 6, 10, 4, 12, 1, 15, 7, 9, 3, 13, 5, 11):  # sixteenths of a turn
            dx, dy = away * math.cos(math.pi * turn / 8), away * math.sin(math.pi * turn / 8)
            anchor = "middle" if turn in (4, 12) else "start" if dx > 0 else "end"
            left = x + dx - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
            middle = y + dy + (0.0 if turn in (0, 8) else math.copysign(0.4 * size, dy))
            box = Box(left, middle - 0.55 * size, left + width, middle + 0.55 * size)
            leader = (round(x + dx, 1), round(y + dy, 1)) if away > MARK + 3 else None
            yield away, box, Label(round(x + dx, 1), round(middle + 0.35 * size, 1), anchor, leader)
