"""The part of the page about one group (task, model, profile, preset): its legend and its charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.leaderboard import Group
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.report.charts import COSTS, Cost, losses, scatter
from bench.report.curves import bin_width, mean_curve, middle_steps, pareto, thinned
from bench.report.marks import Mark
from bench.report.text import UNKNOWN, listed, number, shown, visible

Row = Mapping[str, Any]


class Chart(NamedTuple):
    """description: the chart for those who do not see it. spec: None where there is nothing to draw, note says why."""

    title: str
    description: str
    note: str
    spec: dict[str, Any] | None


@dataclass(frozen=True)
class GroupPage:
    id: str
    title: str
    where: str
    legend: tuple[tuple[str, Mark], ...]
    charts: tuple[Chart, ...]


def pages(rows: Sequence[Row], records: Iterable[Record], marks: Mapping[str, Mark]) -> list[GroupPage]:
    """One page a group, in the order of the leaderboard's rows.

    Args:
        rows: the leaderboard's.
        records: one a cell, for their loss curves; those of an extra test are the task's, and shown there.
    """
    by_group: dict[Group, list[Row]] = defaultdict(list)
    for row in rows:
        by_group[Group(*(row[key] for key in Group._fields))].append(row)
    curves: dict[Group, list[Record]] = defaultdict(list)
    better: dict[str, bool] = {}
    for record in records:
        cell = record.cell
        group = Group(cell.task, cell.model, cell.profile.name, cell.preset)
        if group in by_group:
            curves[group].append(record)
        if record.higher_is_better is not None:
            better[cell.task] = record.higher_is_better
    made = []
    for at, (group, members) in enumerate(by_group.items(), start=1):
        higher = better.get(group.task, better.get(group.task.split("/")[0], True))
        charts = [_scatter(cost, group, members, marks, higher) for cost in COSTS]
        if group in curves:
            charts.append(_losses(group, curves[group], marks))
        labels = sorted({_label(row) for row in members})
        made.append(
            GroupPage(
                f"group-{at}",
                visible(group.task),
                visible(f"model {group.model}, profile {group.profile}, preset {group.preset}"),
                tuple((visible(label), marks[label]) for label in labels),
                tuple(charts),
            )
        )
    return made


def _label(row: Row) -> str:
    return method_label(row["method"], row["method_params"])


def _scatter(cost: Cost, group: Group, rows: Sequence[Row], marks: Mapping[str, Mark], higher: bool) -> Chart:
    title = f"Score against {cost.title}"
    known = [row for row in rows if row["score_mean"] is not None and row[cost.column] is not None]
    left_out = sorted(visible(_label(row)) for row in rows if row not in known)
    best = pareto(
        {_label(row): (row[cost.column], row["score_mean"]) for row in known},
        1 if cost.less_is_better else -1,
        1 if higher else -1,
    )
    drawn = [row for row in known if not _on_floor(cost, row)]
    floor = [row for row in known if _on_floor(cost, row)]
    metric = next((str(row["metric"]) for row in known), "score")
    note = f"Front: {listed([visible(label) for label in best])}." if best else ""
    if left_out:
        note += f" Not shown, since not known: {listed(left_out)}."
    if not drawn:
        why = "No score or cost is known." if not known else "Nothing here has a share above zero."
        return Chart(title, "", f"{why} {note}".strip(), None)
    by_label = {_label(row): row for row in known}
    steps = [by_label[label] for label in best if not _on_floor(cost, by_label[label])]
    spec = {
        **scatter(cost, visible(metric), bool(floor)),
        "datasets": {
            "points": [_point(row, cost, marks, _label(row) in best) for row in drawn],
            "floor": [_point(row, cost, marks, _label(row) in best) for row in floor],
            "front": [
                {"cost": row[cost.column], "score": row["score_mean"], "order": at} for at, row in enumerate(steps)
            ],
        },
    }
    return Chart(title, _described(cost, group, known, floor, best, metric), note.strip(), spec)


def _on_floor(cost: Cost, row: Row) -> bool:
    return cost.log and row[cost.column] <= 0


def _point(row: Row, cost: Cost, marks: Mapping[str, Mark], on_front: bool) -> dict[str, Any]:
    """All that a point shows: where it is, how it looks, and its values as the table writes them."""
    mark, mean = marks[_label(row)], row["score_mean"]
    low, high = row["score_ci95_low"], row["score_ci95_high"]
    label = visible(_label(row))
    return {
        "cost": row[cost.column],
        "score": mean,
        "low": mean if low is None else low,
        "high": mean if high is None else high,
        "colour": mark.paint,
        "shape": mark.shape,
        "method": label,
        "floor_text": f"{label}: {shown(row[cost.column], cost.column)} % trained",
        "score_text": f"{visible(str(row['metric']))} {shown(mean, 'score_mean')}",
        "interval_text": UNKNOWN if low is None else f"{number(low, 'score')} to {number(high, 'score')}",
        "rank_text": shown(row["rank_group"]),
        "seeds_text": shown(row["n_seeds"]),
        "failed_text": shown(row["n_failed"]),
        "share_text": shown(row["trainable_share_percent"]),
        "trained_text": shown(row["trainable_params"]),
        "memory_text": shown(row["peak_train_memory_mib"]),
        "speed_text": shown(row["train_examples_per_second"]),
        "bytes_text": shown(row["adapter_bytes"]),
        "front_text": "yes" if on_front else "no",
    }


def _described(
    cost: Cost, group: Group, known: Sequence[Row], floor: Sequence[Row], best: Sequence[str], metric: str
) -> str:
    """The chart in words: what is in it, and the front with its values."""
    by_label = {_label(row): row for row in known}
    front = "; ".join(
        f"{label} ({number(by_label[label]['score_mean'], 'score')} at {shown(by_label[label][cost.column])})"
        for label in best
    )
    level = f" Drawn as a level line, having none: {', '.join(_label(row) for row in floor)}." if floor else ""
    scale = ", logarithmic" if cost.log else ""
    return visible(
        f"Scatter chart: mean {metric} on {group.task} with its 95 % interval, against {cost.axis}{scale}. "
        f"{len(known)} methods. Pareto front from the cheapest on: {front}.{level}"
    )


def _losses(group: Group, records: Sequence[Record], marks: Mapping[str, Mark]) -> Chart:
    """The curves of all seeds, thin, and the mean of those that finished, for each method."""
    title = "Training loss"
    ordered = sorted(records, key=lambda record: (record.cell.method, record.cell.variant, record.cell.seed))
    # Asked for once: those of a large folder are read from the records' files.
    known = {record.id: each for record in ordered if (each := record.losses)}
    if not known:
        return Chart(title, "", "No cell of this group recorded a loss.", None)
    width = bin_width([len(each) for each in known.values()])
    seeds, means, ends = [], [], []
    by_label: dict[str, list[Record]] = defaultdict(list)
    for record in ordered:
        if record.id in known:
            label = method_label(record.cell.method, record.cell.variant)
            by_label[label].append(record)
            curve = known[record.id]
            seeds.append(_curve(record.id, label, thinned(curve, width), len(curve), width, marks))
    for label, members in by_label.items():
        finished = [known[record.id] for record in members if record.status == "ok"]
        if not finished:
            continue
        length = min(map(len, finished))
        mean = mean_curve([thinned(each[:length], width) for each in finished])
        drawn = _curve(label, label, mean, length, width, marks)
        drawn["of"] = "one seed" if len(finished) == 1 else f"the mean of {len(finished)} seeds"
        means.append(drawn)
        if mean and mean[-1] is not None:
            end = {"step": drawn["steps"][-1], "loss": drawn["losses"][-1], "shape": marks[label].shape}
            ends.append({**{key: drawn[key] for key in ("method", "colour", "of")}, **end})
    last = "; ".join(f"{end['method']} {end['loss']:.3f}" for end in ends)
    spec = {**losses(), "datasets": {"seeds": seeds, "means": means, "ends": ends}}
    point = f"Each point is the mean of {width} steps." if width > 1 else "Each point is a step."
    described = f"Line chart: training loss by optimiser step on {group.task}, {len(seeds)} cells. Last values: {last}."
    return Chart(title, visible(described), f"Thin: one seed. Thick: the mean of the seeds. {point}", spec)


def _curve(
    name: str, label: str, points: Sequence[float | None], length: int, width: int, marks: Mapping[str, Mark]
) -> dict[str, Any]:
    """Four digits of a loss are more than a chart shows."""
    return {
        "curve": name,
        "method": visible(label),
        "colour": marks[label].paint,
        "steps": middle_steps(length, width)[: len(points)],
        "losses": [None if point is None else float(f"{point:.4g}") for point in points],
    }
