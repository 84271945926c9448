"""The plot of a published leaderboard: score against trainable parameters, a panel a task, as SVG.

Names are in one legend: beside the points, those of fourteen methods would overlap. The same rows and the same version
of matplotlib give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.leaderboard.layout import Line, label_of
from bench.sanitize import one_line

PANELS_A_ROW = 3
# Okabe and Ito's colours for colour-blind readers, without yellow, which is invisible on white. With eight shapes they
# give 56 methods a look of their own.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
SHAPES = "osD^vPX*"
SIZES = {"*": 11.0, "X": 8.0, "P": 8.0}  # points across, so that all shapes look about as large
SIZE = 7.0
# Above and below a panel's means, as a part of their range. Intervals are cut there: that of a method that sometimes
# fails is as wide as the scale, and would flatten all others.
MARGIN = 0.15
DRAWN = ["method", "method_params", "task", "metric", "trainable_params", "score_mean", "score_ci95_low",
         "score_ci95_high"]  # fmt: skip
_DIGEST = re.compile(r"data sha256:([0-9a-f]{64})")


def digest_of(drawing: str) -> str | None:
    """The digest of the data that an SVG made by `Plot.draw` shows; None if it has none."""
    found = _DIGEST.search(drawing)
    return found[1] if found else None


@dataclass(frozen=True)
class Plot:
    """Lines of the leaderboard under a title, to be drawn."""

    rows: Sequence[Line]
    title: str

    @property
    def digest(self) -> str:
        """Of all that is drawn, as hex digits of SHA-256."""
        data = json.dumps([self.title, [[row[name] for name in DRAWN] for row in self.rows]])
        return hashlib.sha256(data.encode()).hexdigest()

    def draw(self) -> str:
        """An SVG with means and 95 % intervals, and its `digest`; what trains nothing is a level line."""
        tasks, labels = sorted({row["task"] for row in self.rows}), sorted({label_of(row) for row in self.rows})
        looks = {label: (COLOURS[at % len(COLOURS)], SHAPES[at % len(SHAPES)]) for at, label in enumerate(labels)}
        across, down = min(PANELS_A_ROW, len(tasks)), -(-len(tasks) // PANELS_A_ROW)
        size = (max(6.5, 3.4 * across), 3.1 * down + 0.3 * (len(labels) / 4 + 2))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for ax in axes[len(tasks) :]:
            ax.set_visible(False)
        for ax, task in zip(axes, tasks, strict=False):
            _draw_panel(ax, task, [row for row in self.rows if row["task"] == task], looks)
        trained = {label_of(row) for row in self.rows if row["trainable_params"]}
        handles = [
            Line2D([], [], color=colour, marker=shape if label in trained else None, markersize=SIZES.get(shape, SIZE),
                   linestyle="" if label in trained else "--", label=one_line(label))
            for label, (colour, shape) in looks.items()
        ]  # fmt: skip
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
        figure.suptitle(one_line(self.title), fontsize=11, parse_math=False)
        drawing = io.StringIO()
        # Without these, ids of clips and markers are random, and the date is today's.
        with matplotlib.rc_context({"svg.hashsalt": "leaderboard", "svg.fonttype": "path"}):
            metadata = {"Date": None, "Description": f"data sha256:{self.digest}"}
            FigureCanvasSVG(figure).print_svg(drawing, metadata=metadata)
        return "".join(f"{line.rstrip()}\n" for line in drawing.getvalue().splitlines())


def _draw_panel(ax: Axes, task: str, lines: Sequence[Line], looks: Mapping[str, tuple[str, str]]) -> None:
    rows = [row for row in lines if row["score_mean"] is not None and row["trainable_params"] is not None]
    for row in rows:
        (colour, shape), size, score = looks[label_of(row)], row["trainable_params"], row["score_mean"]
        if size == 0:
            ax.axhline(score, color=colour, linestyle="--", linewidth=1.2)
            continue
        if row["score_ci95_low"] is not None:
            ax.vlines(size, row["score_ci95_low"], row["score_ci95_high"], color=colour)
        ax.plot(size, score, shape, color=colour, markersize=SIZES.get(shape, SIZE), markeredgecolor="white")
    if any(row["trainable_params"] for row in rows):
        ax.set_xscale("log")
    if rows:
        low, high = (end(row["score_mean"] for row in rows) for end in (min, max))
        margin = MARGIN * (high - low) or MARGIN / 10
        ax.set_ylim(low - margin, high + margin)
    ax.set_title(one_line(task), fontsize=10, parse_math=False)
    ax.set_xlabel("trainable parameters, without the head", fontsize=8)
    ax.set_ylabel(one_line(next((row["metric"] for row in rows), "no score")), fontsize=8, parse_math=False)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
