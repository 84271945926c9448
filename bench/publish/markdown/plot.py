"""The plot of a published leaderboard: score against trainable parameters, a panel a task, as SVG.

Names stand in one legend and not beside the points, where those of fourteen methods would cover each other. The same
lines and the same matplotlib give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.plugins.specs import method_label
from bench.sanitize import one_line

ACROSS = 3
# Okabe and Ito's colours, told apart by colour-blind readers; yellow is left out, which is not seen on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
SHAPES = "osD^vPX*"
SIZES = {"*": 11.0, "X": 8.0, "P": 8.0}  # points across, so that all shapes look about as large
SIZE = 7.0
MARGIN = 0.15
"""Of the range of a panel's means, above and below them: one method that failed now and then, and so has an interval as
wide as the scale, must not press all others into a line."""
DRAWN = ("method", "method_params", "task", "metric", "trainable_params", "score_mean", "score_ci95_low",
         "score_ci95_high")  # fmt: skip
_DIGEST = re.compile(r"data sha256:([0-9a-f]{64})")


def digest_of(drawing: str) -> str | None:
    """The digest of the data that an SVG of `Plot.draw` says that it shows; None if it says none."""
    found = _DIGEST.search(drawing)
    return found[1] if found else None


@dataclass(frozen=True)
class Plot:
    """Lines of leaderboard.csv under a title, to be drawn."""

    lines: Sequence[Mapping[str, str]]
    title: str

    @property
    def digest(self) -> str:
        """Of all that is drawn, as hex digits of SHA-256."""
        data = json.dumps([self.title, [[line[name] for name in DRAWN] for line in self.lines]])
        return hashlib.sha256(data.encode()).hexdigest()

    def draw(self) -> str:
        """An SVG with means and 95 % intervals, which tells its `digest`; what trains nothing is a level line."""
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        lines = self.lines
        tasks = sorted({line["task"] for line in lines})
        labels = sorted({method_label(line["method"], line["method_params"]) for line in lines})
        # Colours and shapes go round at different lengths: 56 methods before a look comes again.
        looks = {label: (COLOURS[at % len(COLOURS)], SHAPES[at % len(SHAPES)]) for at, label in enumerate(labels)}
        across, down = min(ACROSS, len(tasks)), -(-len(tasks) // ACROSS)
        figure = Figure(
            figsize=(max(6.5, 3.4 * across), 3.1 * down + 0.3 * (len(labels) / 4 + 2)), layout="constrained"
        )
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for ax in axes[len(tasks) :]:
            ax.set_visible(False)
        for ax, task in zip(axes, tasks, strict=False):
            here = [line for line in lines if line["task"] == task and line["score_mean"] and line["trainable_params"]]
            for line in here:
                colour, shape = looks[method_label(line["method"], line["method_params"])]
                score, size = float(line["score_mean"]), int(float(line["trainable_params"]))
                if size == 0:
                    ax.axhline(score, color=colour, linestyle="--", linewidth=1.2)
                    continue
                if line["score_ci95_low"] and line["score_ci95_high"]:
                    ax.vlines(size, float(line["score_ci95_low"]), float(line["score_ci95_high"]), color=colour)
                ax.plot(size, score, shape, color=colour, markersize=SIZES.get(shape, SIZE), markeredgecolor="white")
            if any(float(line["trainable_params"]) for line in here):
                ax.set_xscale("log")
            if here:
                means = [float(line["score_mean"]) for line in here]
                room = MARGIN * (max(means) - min(means)) or MARGIN / 10
                ax.set_ylim(min(means) - room, max(means) + room)
            ax.set_title(one_line(task), fontsize=10, parse_math=False)
            ax.set_xlabel("trainable parameters, without the head", fontsize=8)
            ax.set_ylabel(one_line(next((line["metric"] for line in here), "no score")), fontsize=8, parse_math=False)
            ax.tick_params(labelsize=8)
            ax.spines[["top", "right"]].set_visible(False)
        trained = {
            method_label(line["method"], line["method_params"])
            for line in lines
            if float(line["trainable_params"] or 0)
        }
        handles = [
            Line2D([], [], color=colour, marker=shape if label in trained else None, markersize=SIZES.get(shape, SIZE),
                   linestyle="" if label in trained else "--", label=one_line(label))
            for label, (colour, shape) in looks.items()
        ]  # fmt: skip
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
        figure.suptitle(one_line(self.title), fontsize=11, parse_math=False)
        made = io.StringIO()
        described = f"data sha256:{self.digest}"
        # Ids of clips and markers are random, and the date is today's, unless one says otherwise.
        with matplotlib.rc_context({"svg.hashsalt": "leaderboard", "svg.fonttype": "path"}):
            FigureCanvasSVG(figure).print_svg(made, metadata={"Date": None, "Description": described})
        return "".join(f"{row.rstrip()}\n" for row in made.getvalue().splitlines())
