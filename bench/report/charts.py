"""The charts, as Vega-Lite: built and checked by Altair in Python, drawn in the browser.

A chart is a specification that knows nothing of the data but the metric's name, and the data beside it. Colours are
custom properties of report.css, so that a chart follows the theme without being drawn again.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import altair as alt


class Cost(NamedTuple):
    """What a score is set against. log: zero has no place on the axis, and is drawn as a level line."""

    key: str
    column: str
    title: str
    axis: str
    log: bool
    less_is_better: bool


COSTS = (
    Cost("share", "trainable_share_percent", "trainable share", "trainable share without the head, %", True, True),
    Cost("memory", "peak_train_memory_mib", "peak memory", "peak memory while training, MiB", False, True),
    Cost("speed", "train_examples_per_second", "throughput", "training throughput, examples/s", False, False),
)
TOOLTIP = (
    ("method", "Method"),
    ("score_text", "Score"),
    ("interval_text", "95 % interval"),
    ("rank_text", "Rank group"),
    ("seeds_text", "Seeds"),
    ("failed_text", "Failed"),
    ("share_text", "Share, %"),
    ("trained_text", "Trained"),
    ("memory_text", "Peak memory, MiB"),
    ("speed_text", "Examples/s"),
    ("bytes_text", "Adapter, bytes"),
    ("front_text", "On the front"),
)
HEIGHT = 260


@cache
def scatter(cost: Cost, metric: str, floor: bool = False) -> dict[str, Any]:
    """Score against a cost. Data: points, front (its corners, in order) and, if asked for, floor (rows of no cost)."""
    import altair as alt

    x_scale = alt.Scale(type="log") if cost.log else alt.Scale(zero=False)
    # A logarithmic axis has a line for every 2, 3, 4 ...: more grid than chart.
    axis = alt.Axis(format="~g", tickCount=5, labelOverlap="greedy", grid=False) if cost.log else alt.Axis(tickCount=5)
    x = alt.X("cost:Q", title=cost.axis, scale=x_scale, axis=axis)
    y = alt.Y("score:Q", title=metric, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    colour, shape = alt.Color("colour:N", scale=None), alt.Shape("shape:N", scale=None)
    tooltip = [alt.Tooltip(f"{key}:N", title=title) for key, title in TOOLTIP]
    points = alt.Chart(alt.NamedData("points"))
    level = alt.Chart(alt.NamedData("floor"))
    levels = (
        level.mark_rule(strokeDash=[6, 4], strokeWidth=1.5).encode(y=y, color=colour, tooltip=tooltip),
        level.mark_text(align="left", baseline="bottom", dy=-3, fontSize=11, fill="var(--ink)").encode(
            x=alt.value(4), y=y, text="floor_text:N"
        ),
    )
    front = alt.Chart(alt.NamedData("front"))
    layers = alt.layer(
        front.mark_line(interpolate="step-after", strokeDash=[2, 3], strokeWidth=1.5, stroke="var(--muted)").encode(
            x=x, y=y, order="order:Q"
        ),
        *(levels if floor else ()),
        points.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q", title=metric), y2="high:Q", color=colour),
        points.mark_point(filled=True, size=130, opacity=1, stroke="var(--card)", strokeWidth=1).encode(
            x=x, y=y, color=colour, shape=shape, tooltip=tooltip
        ),
    )
    return _finished(layers)


@cache
def losses() -> dict[str, Any]:
    """Loss against steps. Data: seeds and means, a curve a row with its steps and losses as lists, and ends."""
    import altair as alt

    x = alt.X("step:Q", title="optimiser step", axis=alt.Axis(tickCount=6))
    y = alt.Y("loss:Q", title="training loss", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    colour = alt.Color("colour:N", scale=None)
    tooltip = [
        alt.Tooltip("method:N", title="Method"),
        alt.Tooltip("step:Q", title="Step", format="~r"),
        alt.Tooltip("loss:Q", title="Loss", format=".4f"),
        alt.Tooltip("of:N", title="Of"),
    ]

    def curves(name: str) -> alt.Chart:
        return alt.Chart(alt.NamedData(name)).transform_flatten(["steps", "losses"], as_=["step", "loss"])

    layers = alt.layer(
        curves("seeds").mark_line(strokeWidth=0.75, opacity=0.35).encode(x=x, y=y, color=colour, detail="curve:N"),
        curves("means").mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, detail="curve:N"),
        # Nothing is seen of these: they are what the pointer finds.
        curves("means").mark_point(size=120, opacity=0, filled=True).encode(x=x, y=y, tooltip=tooltip),
        alt.Chart(alt.NamedData("ends"))
        .mark_point(filled=True, size=90, opacity=1, stroke="var(--card)", strokeWidth=1)
        .encode(x=x, y=y, color=colour, shape=alt.Shape("shape:N", scale=None), tooltip=tooltip),
    )
    return _finished(layers)


def _finished(chart: alt.LayerChart | alt.FacetChart) -> dict[str, Any]:
    """The specification, checked against Vega-Lite's schema, in the page's looks."""
    spec: dict[str, Any] = (
        chart.properties(width="container", height=HEIGHT, background="transparent")
        .configure(font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--muted)",
            titleColor="var(--ink)",
            domainColor="var(--line)",
            tickColor="var(--line)",
            gridColor="var(--grid)",
            labelFlush=False,
            labelFontSize=11,
            titleFontSize=12,
            titleFontWeight="normal",
        )
        .to_dict()
    )
    # The address of the schema would be the only one on the page.
    return {key: value for key, value in spec.items() if key != "$schema"}
