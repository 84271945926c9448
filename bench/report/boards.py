"""The answer of each board (a model, profile, suite and pooling): words, charts and tables over its tasks."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.leaderboard.columns import COLUMNS
from bench.leaderboard.layout import label_of
from bench.leaderboard.rows import Group, grouped
from bench.records.record import Record
from bench.report.charts import (
    COSTS,
    NARROW,
    WIDE,
    Chart,
    Losses,
    Point,
    Row,
    Scores,
    Styles,
    bounds_of,
    losses,
    scatter,
    tooltip,
)
from bench.report.formatting import FLAG, UNKNOWN, shown, visible
from bench.report.table import Cell, Table, View, flag_of, make_table
from bench.report.verdict import Board, Verdict, in_letters, verdict

OVERALL = View(
    ("method", "score_mean", "letters", "to_best", "to_against", "gain_percent", "n_not_worse_than_best",
     "trainable_share_percent", "peak_train_memory_mib", "train_seconds", "adapter_bytes", "n_collapsed", "n_failed"),
    groups=Group._fields[1:],
)  # fmt: skip
MATRIX = View(groups=Group._fields[1:], csv=False)


class TaskCharts(NamedTuple):
    """A task's charts: one for each cost that is known, and loss curves. title: its name; metric: of its scores."""

    title: str
    metric: str
    charts: list[Chart]
    losses: Losses | None


@dataclass(frozen=True)
class Answer:
    """A board. title: which; scores: over its tasks; charts, narrow: of these, one for each known cost."""

    title: str
    verdict: Verdict
    scores: Scores | None
    charts: list[Chart]
    narrow: list[Chart]
    overall: Table
    matrix: Table
    tasks: list[TaskCharts]


def answers(
    lines: Mapping[str, Sequence[dict[str, Any]]], records: Iterable[Record], styles: Styles, limit: int
) -> list[Answer]:
    """The boards in the order of their names, with charts of the first `limit` tasks.

    lines: of the tables `overall`, `leaderboard` and `pairs`, the leaderboard's with `n_constant` and `more_is_better`.
    """
    boards: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for name in ("overall", "leaderboard", "pairs"):
        for line in lines[name]:
            boards[tuple(line[key] for key in Group._fields[1:])][name].append(line)
    trained: dict[Group, list[Record]] = defaultdict(list)
    for row, members in grouped(records).items():
        trained[row.group] += members
    found = []
    for board, tables in sorted(boards.items()):
        by_task: dict[str, list[Row]] = defaultdict(list)
        for line in tables["leaderboard"]:
            by_task[line["task"]].append(line)
        tasks = [
            _task(rows, trained[Group(task, *board)], styles) for task, rows in list(by_task.items())[: max(limit, 0)]
        ]
        limit -= len(tasks)
        found.append(_answer(board, tables, styles, tasks))
    return found


def _answer(
    board: tuple[str, ...], tables: Mapping[str, list[dict[str, Any]]], styles: Styles, tasks: list[TaskCharts]
) -> Answer:
    group = Group("", *board)
    rows = [row for row in tables["leaderboard"] if "/" not in row["task"]]
    constant: dict[str, int] = defaultdict(int)
    for row in rows:
        if row["n_constant"] is not None:
            constant[label_of(row)] += row["n_constant"]
    for line in tables["overall"]:
        line["n_constant"] = constant.get(line["method"])
    pairs = [row for row in tables["pairs"] if "/" not in row["task"]]
    scores = _over_tasks(tables["overall"], rows)
    about = {column.name: column.description for column in COLUMNS["overall"]}
    return Answer(
        visible(f"{group.model}, profile {group.profile}, suite {group.budget}"),
        verdict(Board(tables["overall"], rows, pairs, constant)),
        scores,
        _charts(scores, styles, WIDE),
        _charts(scores, styles, NARROW),
        make_table(tables["overall"], list(about), styles, OVERALL, about),
        _matrix(rows, {line["method"]: line for line in tables["overall"]}, styles),
        tasks,
    )


def _over_tasks(overall: Sequence[Row], rows: Sequence[Row]) -> Scores | None:
    """The mean scores of the methods that have one; the gain where metrics of two directions have no common mean."""
    scored = [row for row in rows if row["score_mean"] is not None]
    metrics = {row["task"]: row["metric"] for row in scored}
    of = visible(f"over {len(metrics)} tasks" if len(metrics) != 1 else f"on {next(iter(metrics))}")
    if ranked := [row for row in overall if row["score_mean"] is not None]:
        sign, best = 1 if scored[0]["more_is_better"] else -1, ranked[0]
        points = []
        for row in ranked:
            ends = [row[f"difference_to_best_ci95_{end}"] for end in ("low", "high")]
            low, high = (None if end is None else best["score_mean"] + sign * end for end in ends[::sign])
            points.append(_point(row, "score_mean", (low, high), best))
        low, high = (statistics.fmean(ends) for ends in zip(*map(bounds_of, metrics.values()), strict=True))
        axis = "Mean score" if len(metrics) > 1 else f"Mean {scored[0]['metric']}"
        return Scores(points, visible(axis), of, sign > 0, (low, high), level=True)
    if gains := [row for row in overall if row["gain_percent"] is not None]:
        points = [_point(row, "gain_percent", (None, None), gains[0]) for row in gains]
        return Scores(points, "Gain from head to full, %", of, True, (-math.inf, math.inf), level=True)
    return None


def _point(row: Row, column: str, ends: tuple[float | None, float | None], best: Row) -> Point:
    name = "gain, %" if column == "gain_percent" else visible(str(row.get("metric") or "score"))
    score = f"{name} {shown(row[column], column)}"
    if row.get("difference_to_best_ci95_low") is not None:
        score += f"\nDifference to the best: {shown(row['difference_to_best'], 'difference')}"
    if ends[0] is not None and "metric" in row:
        score += f"\n95 % interval: {shown(ends[0], 'score')} to {shown(ends[1], 'score')}"
    worse = bool(in_letters(row)) and not in_letters(row) & in_letters(best)
    flag = f" {FLAG}" if flag_of(row) else ""
    label = label_of(row)
    return Point(row, label, row[column], *ends, worse, flag, tooltip(label, score, row))


def _task(rows: Sequence[Row], records: Sequence[Record], styles: Styles) -> TaskCharts:
    task, scored = visible(rows[0]["task"]), [row for row in rows if row["score_mean"] is not None]
    curves = losses(records, [label_of(row) for row in rows], styles)
    if not scored:
        return TaskCharts(task, "no score", [], curves)
    best = scored[0]
    points = [_point(row, "score_mean", (row["score_ci95_low"], row["score_ci95_high"]), best) for row in scored]
    metric, bounds = visible(str(best["metric"])), bounds_of(best["metric"])
    scores = Scores(points, metric, f"on {task}", best["more_is_better"], bounds)
    return TaskCharts(task, metric, _charts(scores, styles, NARROW), curves)


def _charts(scores: Scores | None, styles: Styles, size: tuple[float, float]) -> list[Chart]:
    """A chart for each cost that is known."""
    charts = [scatter(scores, cost, styles, size) for cost in COSTS] if scores else []
    return [chart for chart in charts if chart is not None]


def _matrix(rows: Sequence[Row], overall: Mapping[str, Row], styles: Styles) -> Table:
    """A row a method, in the order of `overall` and then by name, and a column a task: score, deviation and letters."""
    tasks = {row["task"]: row["metric"] for row in rows}
    columns = {f"task {task}": f"metric: {metric}" for task, metric in tasks.items()}
    by_label: dict[str, dict[str, Any]] = {}
    for row in rows:
        label, mean = label_of(row), row["score_mean"]
        cells = by_label.setdefault(label, {**dict.fromkeys(columns, Cell(UNKNOWN, unknown=True)), **row})
        cells[f"task {row['task']}"] = Cell(
            shown(mean, "score"),
            mean,
            mean is None,
            after="" if row["score_std"] is None else f"± {shown(row['score_std'], 'score')}",
            letters=row.get("letters") or "",
            flag=flag_of(row),
        )
    order = list(overall)
    labels = sorted(by_label, key=lambda label: (order.index(label) if label in order else len(order), label))
    # The filters take the costs over all tasks.
    costs = {label: {cost.column: overall.get(label, {}).get(cost.column) for cost in COSTS} for label in labels}
    made = [{**by_label[label], **costs[label], "n_constant": 0, "n_collapsed": 0} for label in labels]
    return make_table(made, ["method", *columns], styles, MATRIX, columns)
