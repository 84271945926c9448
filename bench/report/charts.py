"""The charts of a group of rows (task, model, profile, preset), as Vega-Lite.

Altair builds and checks the specifications in Python; the browser draws them. A specification knows nothing of the data
but the metric's name. Colours are custom properties of report.css, so that a chart follows the theme.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from bench.leaderboard.rows import Group, grouped, higher_is_better
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.report.formatting import UNKNOWN, Style, column_label, listed, shown, visible
from bench.stats.combined import Floats

Row = Mapping[str, Any]
Styles = Mapping[str, Style]

MAX_POINTS = 60  # of one loss curve: what a small chart can show
HEIGHT = 260
TOOLTIP = (
    "rank_group", "n_seeds", "n_failed", "trainable_share_percent", "trainable_params", "peak_train_memory_mib",
    "train_examples_per_second", "adapter_bytes",
)  # fmt: skip


class Cost(NamedTuple):
    """What a score is plotted against.

    log: zero has no place on the axis, and is drawn as a level line. sign: -1 if a larger value is better.
    """

    column: str
    title: str
    axis: str
    log: bool = False
    sign: int = 1


COSTS = (
    Cost("trainable_share_percent", "trainable share", "trainable share without the head, %", log=True),
    Cost("peak_train_memory_mib", "peak memory", "peak memory while training, MiB"),
    Cost("train_examples_per_second", "throughput", "training throughput, examples/s", sign=-1),
)


class Chart(NamedTuple):
    """description: the chart in words, for screen readers. spec: None if there is nothing to draw; note says why."""

    title: str
    description: str
    note: str
    spec: dict[str, Any] | None


class ChartGroup(NamedTuple):
    """The charts of a group, with their legend."""

    title: str
    where: str
    legend: list[tuple[str, Style]]
    charts: list[Chart]


def chart_groups(rows: Iterable[Row], records: Iterable[Record], styles: Styles, limit: int) -> list[ChartGroup]:
    """The charts of the first `limit` groups, in the order of the leaderboard's rows.

    records: for their loss curves; those of an extra test are shown with its task.
    """
    by_group: dict[Group, list[Row]] = defaultdict(list)
    for row in rows:
        by_group[Group(*(row[key] for key in Group._fields))].append(row)
    trained: dict[Group, list[Record]] = defaultdict(list)
    for trained_row, same in grouped(records).items():
        trained[trained_row.group] += same
    groups = []
    for group, members in islice(by_group.items(), limit):
        of_task = group if group in trained else group._replace(task=group.task.rpartition("/")[0])
        charts = [_scatter(cost, group, members, styles, higher_is_better(trained[of_task])) for cost in COSTS]
        if group == of_task:
            charts.append(_losses(group, trained[group], styles))
        where = visible(f"model {group.model}, profile {group.profile}, preset {group.budget}")
        legend = [(visible(label), styles[label]) for label in sorted(set(map(_label, members)))]
        groups.append(ChartGroup(visible(group.task), where, legend, charts))
    return groups


def _label(row: Row) -> str:
    return method_label(row["method"], row["method_params"])


# Score against a cost


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names of the points that no other dominates by being as good in both costs and better in one, sorted."""

    def dominated(first: float, second: float) -> bool:
        return any(a <= first and b <= second and (a, b) != (first, second) for a, b in points.values())

    front = (name for name, point in points.items() if not dominated(*point))
    return sorted(front, key=lambda name: (points[name], name))


def _scatter(cost: Cost, group: Group, rows: Sequence[Row], styles: Styles, more_is_better: bool) -> Chart:
    title = f"Score against {cost.title}"
    known = {_label(row): row for row in rows if row["score_mean"] is not None and row[cost.column] is not None}
    score_sign = -1 if more_is_better else 1
    front = pareto({k: (cost.sign * row[cost.column], score_sign * row["score_mean"]) for k, row in known.items()})
    note = f"Front: {listed([visible(label) for label in front])}." if front else ""
    if unknown := sorted(visible(label) for label in map(_label, rows) if label not in known):
        note += f" Not shown, since not known: {listed(unknown)}."
    points = {label: _point(row, cost, styles[label], label in front) for label, row in known.items()}
    levels = [label for label, row in known.items() if cost.log and row[cost.column] <= 0]
    if len(levels) == len(known):
        why = "Nothing here has a share above zero." if known else "No score or cost is known."
        return Chart(title, "", f"{why} {note}".strip(), None)
    metric = str(next(iter(known.values()))["metric"])
    corners = [known[label] for label in front if label not in levels]
    spec = {
        **_scatter_spec(cost, visible(metric), bool(levels)),
        "datasets": {
            "points": [point for label, point in points.items() if label not in levels],
            "levels": [points[label] for label in levels],
            "front": [
                {"cost": row[cost.column], "score": row["score_mean"], "order": at} for at, row in enumerate(corners)
            ],
        },
    }
    values = "; ".join(
        f"{label} ({shown(known[label]['score_mean'], 'score')} at {shown(known[label][cost.column])})"
        for label in front
    )
    described = (
        f"Scatter chart: mean {metric} on {group.task} with its 95 % interval, against {cost.axis}"
        f"{', logarithmic' if cost.log else ''}. {len(known)} methods. Pareto front from the cheapest on: {values}."
        + (f" Drawn as a level line, having none: {', '.join(levels)}." if levels else "")
    )
    return Chart(title, visible(described), note.strip(), spec)


def _point(row: Row, cost: Cost, style: Style, on_front: bool) -> dict[str, Any]:
    """Where a point is, how it looks, and its values as the table writes them."""
    mean, low, high = row["score_mean"], row["score_ci95_low"], row["score_ci95_high"]
    label = visible(_label(row))
    return {
        "cost": row[cost.column],
        "score": mean,
        "low": mean if low is None else low,
        "high": mean if high is None else high,
        "colour": style.css_colour,
        "shape": style.shape,
        "level_text": f"{label}: {shown(row[cost.column], cost.column)} % trained",
        "Method": label,
        "Score": f"{visible(str(row['metric']))} {shown(mean, 'score')}",
        "95 % interval": UNKNOWN if low is None else f"{shown(low, 'score')} to {shown(high, 'score')}",
        **{column_label(column): shown(row[column]) for column in TOOLTIP},
        "On the front": shown(on_front),
    }


@cache
def _scatter_spec(cost: Cost, metric: str, has_levels: bool) -> dict[str, Any]:
    """Data: points, front (its corners, in order) and, if any, levels (rows without a cost)."""
    x_scale = alt.Scale(type="log") if cost.log else alt.Scale(zero=False)
    # A grid on a logarithmic axis has a line for every 2, 3, 4 ...
    axis = alt.Axis(format="~g", tickCount=5, labelOverlap="greedy", grid=False) if cost.log else alt.Axis(tickCount=5)
    x = alt.X("cost:Q", title=cost.axis, scale=x_scale, axis=axis)
    y = alt.Y("score:Q", title=metric, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    colour, shape = alt.Color("colour:N", scale=None), alt.Shape("shape:N", scale=None)
    fields = ("Method", "Score", "95 % interval", *map(column_label, TOOLTIP), "On the front")
    tooltip = [alt.Tooltip(field=field, type="nominal", title=field) for field in fields]
    points, level, front = (alt.Chart(alt.NamedData(name)) for name in ("points", "levels", "front"))
    levels = (
        level.mark_rule(strokeDash=[6, 4], strokeWidth=1.5).encode(y=y, color=colour, tooltip=tooltip),
        level.mark_text(align="left", baseline="bottom", dy=-3, fontSize=11, fill="var(--ink)").encode(
            x=alt.value(4), y=y, text="level_text:N"
        ),
    )
    return _finish(
        front.mark_line(interpolate="step-after", strokeDash=[2, 3], strokeWidth=1.5, stroke="var(--muted)").encode(
            x=x, y=y, order="order:Q"
        ),
        *(levels if has_levels else ()),
        points.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q", title=metric), y2="high:Q", color=colour),
        points.mark_point(filled=True, size=130, opacity=1, stroke="var(--card)", strokeWidth=1).encode(
            x=x, y=y, color=colour, shape=shape, tooltip=tooltip
        ),
    )


# Loss curves


def thin(losses: Sequence[float], stretch: int) -> tuple[Floats, Floats]:
    """The middle of each stretch of steps (the last may be shorter), and its mean loss; nan where none is finite."""
    starts = np.arange(0, len(losses), stretch)
    finite = np.isfinite(losses)
    with np.errstate(invalid="ignore"):  # 0 / 0
        means = np.add.reduceat(np.where(finite, losses, 0.0), starts) / np.add.reduceat(finite, starts, dtype=int)
    return (starts + 1 + np.minimum(starts + stretch, len(losses))) / 2, means


def _losses(group: Group, records: Iterable[Record], styles: Styles) -> Chart:
    """The curves of all seeds, thin, and the mean of those that finished, for each method."""
    title = "Training loss"
    by_label: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: (record.cell.method, record.cell.variant, record.cell.seed)):
        if record.losses:
            by_label[method_label(record.cell.method, record.cell.variant)].append(record)
    if not by_label:
        return Chart(title, "", "No cell of this group recorded a loss.", None)
    stretch = math.ceil(max(len(record.losses) for members in by_label.values() for record in members) / MAX_POINTS)
    seeds, means, ends = [], [], []
    for label, members in by_label.items():
        look = {"method": visible(label), "colour": styles[label].css_colour}
        seeds += [{"curve": record.id, **look, **_curve(*thin(record.losses, stretch))} for record in members]
        finished = [record.losses for record in members if record.status == "ok"]
        if not finished:
            continue
        common = min(map(len, finished))
        thinned = [thin(losses[:common], stretch) for losses in finished]
        mean = _curve(thinned[0][0], np.mean([losses for _, losses in thinned], axis=0))
        look["of"] = "one seed" if len(finished) == 1 else f"the mean of {len(finished)} seeds"
        means.append({"curve": label, **look, **mean})
        if mean["losses"][-1] is not None:
            ends.append({**look, "step": mean["steps"][-1], "loss": mean["losses"][-1], "shape": styles[label].shape})
    last = "; ".join(f"{end['method']} {end['loss']:.3f}" for end in ends)
    described = f"Line chart: training loss by optimiser step on {group.task}, {len(seeds)} cells. Last values: {last}."
    point = f"Each point is the mean of {stretch} steps." if stretch > 1 else "Each point is a step."
    spec = {**_losses_spec(), "datasets": {"seeds": seeds, "means": means, "ends": ends}}
    return Chart(title, visible(described), f"Thin: one seed. Thick: the mean of the seeds. {point}", spec)


def _curve(steps: Floats, losses: Floats) -> dict[str, Any]:
    """As a chart takes it; four digits of a loss are more than it shows."""
    return {"steps": steps.tolist(), "losses": [None if loss != loss else float(f"{loss:.4g}") for loss in losses]}


@cache
def _losses_spec() -> dict[str, Any]:
    """Data: seeds and means, a curve a row with its steps and losses as lists, and ends."""
    x = alt.X("step:Q", title="optimiser step", axis=alt.Axis(tickCount=6))
    y = alt.Y("loss:Q", title="training loss", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    colour = alt.Color("colour:N", scale=None)
    tooltip = [
        alt.Tooltip("method:N", title="Method"),
        alt.Tooltip("step:Q", title="Step", format="~r"),
        alt.Tooltip("loss:Q", title="Loss", format=".4f"),
        alt.Tooltip("of:N", title="Of"),
    ]
    seeds, means = (
        alt.Chart(alt.NamedData(name)).transform_flatten(["steps", "losses"], as_=["step", "loss"])
        for name in ("seeds", "means")
    )
    return _finish(
        seeds.mark_line(strokeWidth=0.75, opacity=0.35).encode(x=x, y=y, color=colour, detail="curve:N"),
        means.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, detail="curve:N"),
        means.mark_point(size=120, opacity=0, filled=True).encode(x=x, y=y, tooltip=tooltip),  # only for the pointer
        alt.Chart(alt.NamedData("ends"))
        .mark_point(filled=True, size=90, opacity=1, stroke="var(--card)", strokeWidth=1)
        .encode(x=x, y=y, color=colour, shape=alt.Shape("shape:N", scale=None), tooltip=tooltip),
    )


def _finish(*layers: alt.Chart) -> dict[str, Any]:
    """The specification, checked against Vega-Lite's schema, styled like the page."""
    spec: dict[str, Any] = (
        alt.layer(*layers)
        .properties(width="container", height=HEIGHT, background="transparent")
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
    del spec["$schema"]  # it would be the only address on the page
    return spec
