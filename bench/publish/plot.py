"""The plot of a published leaderboard: score against trainable parameters, a panel a task, as SVG.

Names are in one legend: beside the points, those of fourteen methods would overlap. The same rows and the same version
of matplotlib give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import dataclass

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.plugins.specs import method_label
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
    """Rows of leaderboard.csv under a title, to be drawn."""

    rows: pd.DataFrame
    title: str

    @property
    def digest(self) -> str:
        """Of all that is drawn, as hex digits of SHA-256."""
        data = json.dumps([self.title, self.rows[DRAWN].to_numpy().tolist()])
        return hashlib.sha256(data.encode()).hexdigest()

    def draw(self) -> str:
        """An SVG with means and 95 % intervals, and its `digest`; what trains nothing is a level line."""
        rows = self.rows.assign(
            label=[method_label(*names) for names in zip(self.rows["method"], self.rows["method_params"], strict=True)],
            trainable_params=self.rows["trainable_params"].replace("", "nan").astype(float),
        )
        tasks, labels = sorted(set(rows["task"])), sorted(set(rows["label"]))
        looks = {label: (COLOURS[at % len(COLOURS)], SHAPES[at % len(SHAPES)]) for at, label in enumerate(labels)}
        across, down = min(PANELS_A_ROW, len(tasks)), -(-len(tasks) // PANELS_A_ROW)
        size = (max(6.5, 3.4 * across), 3.1 * down + 0.3 * (len(labels) / 4 + 2))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for ax in axes[len(tasks) :]:
            ax.set_visible(False)
        for ax, task in zip(axes, tasks, strict=False):
            _draw_panel(ax, task, rows[rows["task"] == task], looks)
        trained = set(rows["label"][rows["trainable_params"] > 0])
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


def _draw_panel(ax: Axes, task: str, rows: pd.DataFrame, looks: dict[str, tuple[str, str]]) -> None:
    rows = rows[(rows["score_mean"] != "") & rows["trainable_params"].notna()]
    for _, row in rows.iterrows():
        (colour, shape), size, score = looks[row["label"]], row["trainable_params"], float(row["score_mean"])
        if size == 0:
            ax.axhline(score, color=colour, linestyle="--", linewidth=1.2)
            continue
        if row["score_ci95_low"] and row["score_ci95_high"]:
            ax.vlines(size, float(row["score_ci95_low"]), float(row["score_ci95_high"]), color=colour)
        ax.plot(size, score, shape, color=colour, markersize=SIZES.get(shape, SIZE), markeredgecolor="white")
    if rows["trainable_params"].any():
        ax.set_xscale("log")
    if len(rows):
        means = rows["score_mean"].astype(float)
        margin = MARGIN * (means.max() - means.min()) or MARGIN / 10
        ax.set_ylim(means.min() - margin, means.max() + margin)
    ax.set_title(one_line(task), fontsize=10, parse_math=False)
    ax.set_xlabel("trainable parameters, without the head", fontsize=8)
    ax.set_ylabel(one_line(next(iter(rows["metric"]), "no score")), fontsize=8, parse_math=False)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
