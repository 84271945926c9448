"""What is on the page, in which order: facts, tables and charts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.leaderboard.columns import COLUMNS, Column
from bench.leaderboard.load import notes_of
from bench.leaderboard.rows import Group, by_row, higher_is_better
from bench.leaderboard.tables import Tables
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.report.boards import Answer, answers
from bench.report.charts import COSTS, Cost
from bench.report.formatting import SHAPES, Style, assign_styles, listed, visible
from bench.report.table import Table, View, make_table

GROUP = Group._fields
# What a browser still opens quickly. A larger page says what it leaves out, and which command writes all of it.
MAX_ROWS = 5_000  # of a table
MAX_FAILURES = 500  # with their tracebacks
MAX_GROUPS = 50  # with charts
# What writes all rows of the tables that grow with the number of cells.
OPTIONS = {"leaderboard": "", "cells": " --per-cell", "failures": " --per-cell", "pairs": " --pairs"}
FILTERS = ("task", "method", "model", "profile", "status")

VIEWS = {
    "leaderboard": View(
        ("task", "method", "metric", "score", "letters", "trainable_share_percent", "peak_train_memory_mib",
         "train_seconds", "adapter_bytes", "n_seeds", "n_collapsed", "status", *GROUP[1:]),
        filters=FILTERS, groups=GROUP,
    ),
    "pairs": View(
        ("task", "method_a", "method_b", "difference", "ci95_low", "ci95_high", "p_holm", "minimum_detectable_holm",
         "verdict", *GROUP[1:]),
        filters=("task", "method_a", "method_b", "profile", "verdict"), groups=GROUP,
    ),
    "failures": View(
        ("task", "method", "seed", "status", "reason", "last_step", "traceback", *GROUP[1:]),
        filters=FILTERS, groups=GROUP,
    ),
    "cells": View(
        ("task", "method", "seed", "score", "constant_score", "status", "collapsed", "trainable_share_percent",
         "peak_train_memory_mib", "train_seconds", "adapter_bytes", "cell", *GROUP[1:]),
        filters=FILTERS, groups=GROUP,
    ),
    "columns": View(),
    "recipes": View(
        ("task", "method", "learning_rate", "epochs", "min_steps", "batch_size", "weight_decay", "warmup_ratio",
         "max_grad_norm", "adam_epsilon", "chosen_by", "trials"),
        filters=("task", "method"),
    ),
    "environment": View(),
    "profiles": View(filters=("profile",)),
}  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """What the template is filled with.

    costs, shapes: those of charts. drawn: names of costs that some chart has. left_out: how many charts are missing.
    """

    answers: list[Answer]
    styles: Mapping[str, Style]
    costs: Sequence[Cost]
    drawn: list[str]
    shapes: Sequence[str]
    facts: list[tuple[str, str]]
    tables: dict[str, Table]
    left_out: str
    against: str | None


def contents(records: Sequence[Record], against: str | None = None) -> Contents:
    """The page of these records: one a cell, in an order that is always the same. against: see `page.render`."""
    leaderboard = Tables(records)
    styles = assign_styles(method_label(record.cell.method, record.cell.variant) for record in records)
    lines: dict[str, list[dict[str, Any]]] = {
        **{name: list(leaderboard.lines(name, against if name == "overall" else None)) for name in COLUMNS},
        "failures": list(_failures(records)),
        "columns": _meanings(),
        "recipes": _recipes(records),
        "environment": _environment(records),
        "profiles": _profiles(records),
    }
    _count_constant(lines["leaderboard"], records)
    found = answers(lines, records, styles, MAX_GROUPS)
    known = {chart.cost for answer in found for chart in answer.charts}
    known |= {chart.cost for answer in found for task in answer.tasks for chart in task.charts}
    drawn = [cost.name for cost in COSTS if cost in known]
    tables = {name: _table(name, lines[name], styles) for name in VIEWS}
    count = len({tuple(row[key] for key in GROUP) for row in lines["leaderboard"]})
    left_out = f"Charts are of the first {MAX_GROUPS} of {count:,} groups." if count > MAX_GROUPS else ""
    return Contents(
        found,
        styles,
        COSTS,
        drawn or [COSTS[0].name],
        SHAPES,
        _facts(records),
        tables,
        left_out,
        against and visible(against),
    )  # fmt: skip


def _count_constant(rows: Iterable[dict[str, Any]], records: Iterable[Record]) -> None:
    """Say in each row of the leaderboard how many of its trainings are no better than a constant answer on the test
    split, `n_constant`, None if that is not known of any; and whether a higher score is better."""
    by_name = {(*row.group, row.method, row.variant): members for row, members in by_row(records).items()}
    for row in rows:
        members = by_name[tuple(row[key] for key in (*GROUP, "method", "method_params"))]
        row["more_is_better"] = more = higher_is_better(members)
        ok = [(each.score, each.constant_score) for each in members if each.status == "ok"]
        known = [(score, constant) for score, constant in ok if score is not None and constant is not None]
        beaten = [score > constant if more else score < constant for score, constant in known]
        row["n_constant"] = beaten.count(False) if known else None


def _table(name: str, rows: Sequence[dict[str, Any]], styles: Mapping[str, Style]) -> Table:
    """The table of that name; if not all rows are in it, it says which are missing."""
    about = {column.name: column.description for column in COLUMNS.get(name, ())}
    limit = MAX_FAILURES if name == "failures" else MAX_ROWS if name in OPTIONS else len(rows)
    table = make_table(rows[:limit], list(about or (rows[0] if rows else ())), styles, VIEWS[name], about)
    if len(rows) <= limit:
        return table
    command = f"`python -m bench leaderboard{OPTIONS[name]} --out FILE.csv`"
    return replace(table, rest=f"These are the first {limit:,} of {len(rows):,} rows. {command} writes all.")


def _facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Terms and values at the head of the page."""
    statuses = Counter(record.status for record in records)
    bad = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()) if status != "ok")
    cells = [record.cell for record in records]
    start, end = min(record.started_at for record in records), max(record.finished_at for record in records)
    last = end[11:16] if start[:10] == end[:10] else f"{end[:10]} {end[11:16]}"
    return [
        ("Cells", f"{len(records):,}: {statuses['ok']:,} ok, {bad}" if bad else f"{len(records):,}, all ok"),
        ("Methods", _names(method_label(cell.method, cell.variant) for cell in cells)),
        ("Tasks", _names(cell.task for cell in cells)),
        ("Models", _names(cell.model for cell in cells)),
        ("Profiles", _names(cell.profile.name for cell in cells)),
        ("Presets", _names(cell.preset for cell in cells)),
        ("Pooling", _names(cell.pooling for cell in cells)),
        ("Seeds", _names(str(cell.seed) for cell in cells)),
        ("Run", visible(f"{start[:10]} {start[11:16]} to {last} UTC")),  # of 2026-11-24T11:15:36.202+00:00
        ("bench", _names(record.bench_version for record in records)),
        ("Commit", _names(_commit(record) for record in records)),
        *(("Note", visible(note)) for note in notes_of(records)),
    ]


def _names(values: Iterable[str]) -> str:
    found = sorted(set(values), key=lambda name: (len(name), name) if name.isdecimal() else (0, name))
    return visible(listed(found)) if len(found) == 1 else visible(f"{len(found)}: {listed(found)}")


def _commit(record: Record) -> str:
    code = record.environment.get("code")
    commit = code.get("commit") if isinstance(code, dict) else None
    if not isinstance(commit, str):
        return "unknown"
    return commit[:12] + (" with changes" if isinstance(code, dict) and code.get("dirty") else "")


def _failures(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    for record in records:
        if record.status != "ok":
            yield {
                "task": record.cell.task,
                "method": record.cell.method,
                "method_params": record.cell.variant,
                "seed": record.cell.seed,
                "status": record.status,
                "reason": record.reason,
                "last_step": record.last_step,
                "traceback": record.traceback,
                "model": record.cell.model,
                "profile": record.cell.profile.name,
                "preset": record.cell.preset,
                "pooling": record.cell.pooling,
                "started_at": record.started_at,
                "cell": record.id,
            }


def _meanings() -> list[dict[str, Any]]:
    """What each column means, and in which tables."""
    found: dict[Column, list[str]] = {}
    for name, columns in COLUMNS.items():
        for column in columns:
            found.setdefault(column, []).append(name)
    return [
        {"column": column.name, "unit": column.unit, "description": column.description, "tables": ", ".join(names)}
        for column, names in found.items()
    ]


def _recipes(records: Iterable[Record]) -> list[dict[str, Any]]:
    found = Counter(
        (record.cell.method, record.cell.variant, record.cell.task, json.dumps(record.recipe.model_dump(mode="json")))
        for record in records
        if record.recipe is not None
    )
    return [
        {"method": method, "method_params": variant, "task": task, **json.loads(recipe), "n_cells": count}
        for (method, variant, task, recipe), count in sorted(found.items())
    ]


def _environment(records: Iterable[Record]) -> list[dict[str, Any]]:
    return _counted(("setting", "value"), (pair for record in records for pair in _flat(record.environment)))


def _profiles(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Two profiles of one name show as two values of a setting."""
    settings = [(r.cell.profile.name, r.cell.profile.model_dump(mode="json", exclude={"name"})) for r in records]
    return _counted(("profile", "setting", "value"), ((n, *pair) for n, each in settings for pair in _flat(each)))


def _counted(names: Sequence[str], values: Iterable[tuple[str, ...]]) -> list[dict[str, Any]]:
    """A row for each different value, and of how many cells it is."""
    return [
        {**dict(zip(names, value, strict=True)), "n_cells": count} for value, count in sorted(Counter(values).items())
    ]


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """`{"versions": {"torch": "2.6"}}` as `versions.torch`, `2.6`; what is unknown is left out."""
    if isinstance(value, dict):
        return [pair for key, part in value.items() for pair in _flat(part, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return [pair for at, part in enumerate(value) for pair in _flat(part, f"{name}.{at}")]
    if value is None or value == []:
        return []
    if isinstance(value, list):
        return [(name, ", ".join(map(str, value)))]
    return [(name, {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value))]
