"""What the head of the page says, and the frames that are made of the records alone: failures, machines, profiles."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.leaderboard.columns import Column
from bench.leaderboard.csv import frame
from bench.plugins.recipe import Recipe
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.report.text import listed, visible

if TYPE_CHECKING:
    import pandas as pd


def facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    """The head's terms and values."""
    statuses = Counter(record.status for record in records)
    bad = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()) if status != "ok")
    cells = [record.cell for record in records]
    return [
        ("Cells", f"{len(records):,}: {statuses['ok']:,} ok, {bad}" if bad else f"{len(records):,}, all ok"),
        ("Methods", _names(method_label(cell.method, cell.variant) for cell in cells)),
        ("Tasks", _names(cell.task for cell in cells)),
        ("Models", _names(cell.model for cell in cells)),
        ("Profiles", _names(cell.profile.name for cell in cells)),
        ("Presets", _names(cell.preset for cell in cells)),
        ("Seeds", _names(str(cell.seed) for cell in cells)),
        ("Run", _span(min(record.started_at for record in records), max(record.finished_at for record in records))),
        ("bench", _names(record.bench_version for record in records)),
        ("Commit", _names(_commit(record) for record in records)),
    ]


def failures(records: Iterable[Record]) -> pd.DataFrame:
    """One row for each cell that did not end well, skipped ones included."""
    return frame(
        (
            {
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
                "started_at": record.started_at,
                "cell": record.id,
            }
            for record in records
            if record.status != "ok"
        ),
        ("task", "method", "method_params", "seed", "status", "reason", "last_step", "traceback", "model", "profile",
         "preset", "started_at", "cell"),
    )  # fmt: skip


def environment(records: Iterable[Record]) -> pd.DataFrame:
    """Every setting of the machines with its value; a setting that was not the same in all cells has several rows."""
    counts: Counter[tuple[str, str]] = Counter()
    for record in records:
        counts.update(_flat(record.environment))
    return frame(
        ({"setting": name, "value": value, "n_cells": counts[name, value]} for name, value in sorted(counts)),
        ("setting", "value", "n_cells"),
    )


def profiles(records: Iterable[Record]) -> pd.DataFrame:
    """Every setting of every profile that was used; two profiles of one name show as two values of a setting."""
    counts: Counter[tuple[str, int, str, str]] = Counter()
    for record in records:
        fields = record.cell.profile.model_dump(mode="json", exclude={"name"})
        for at, (name, value) in enumerate(fields.items()):
            if value is not None:
                counts[record.cell.profile.name, at, name, _text(value)] += 1
    return frame(
        (
            {"profile": key[0], "setting": key[2], "value": key[3], "n_cells": count}
            for key, count in sorted(counts.items())
        ),
        ("profile", "setting", "value", "n_cells"),
    )


def recipes(records: Iterable[Record]) -> pd.DataFrame:
    """With which settings each method trained on each task, and who chose them."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for record in records:
        if record.recipe is not None:
            cell = record.cell
            counts[cell.method, cell.variant, cell.task, json.dumps(record.recipe.model_dump(mode="json"))] += 1
    return frame(
        (
            {"method": key[0], "method_params": key[1], "task": key[2], **json.loads(key[3]), "n_cells": count}
            for key, count in sorted(counts.items())
        ),
        ("method", "method_params", "task", *Recipe.model_fields, "n_cells"),
    )


def meanings(tables: Mapping[str, Sequence[Column]]) -> pd.DataFrame:
    """What each column means, and in which tables it means that.

    Args:
        tables: columns by the name of their table.
    """
    found: dict[Column, list[str]] = {}
    for name, columns in tables.items():
        for column in columns:
            found.setdefault(column, []).append(name)
    return frame(
        (
            {"column": column.name, "unit": column.unit, "description": column.description, "tables": ", ".join(names)}
            for column, names in found.items()
        ),
        ("column", "unit", "description", "tables"),
    )


def _names(values: Iterable[str]) -> str:
    found = sorted(set(values), key=lambda name: (len(name), name) if name.isdecimal() else (0, name))
    return visible(listed(found)) if len(found) == 1 else visible(f"{len(found)}: {listed(found)}")


def _span(start: str, end: str) -> str:
    """From when to when, to the minute; records are in UTC (`2026-11-24T11:15:36.202+00:00`)."""
    same_day = start[:10] == end[:10]
    last = end[11:16] if same_day else f"{end[:10]} {end[11:16]}"
    return visible(f"{start[:10]} {start[11:16]} to {last} UTC")


def _commit(record: Record) -> str:
    code = record.environment.get("code")
    commit = code.get("commit") if isinstance(code, dict) else None
    if not isinstance(commit, str):
        return "unknown"
    return commit[:12] + (" with changes" if isinstance(code, dict) and code.get("dirty") else "")


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """`{"versions": {"torch": "2.6"}}` as `versions.torch`, `2.6`; what is unknown is left out."""
    if isinstance(value, dict):
        return [pair for key, part in value.items() for pair in _flat(part, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return [pair for at, part in enumerate(value) for pair in _flat(part, f"{name}.{at}")]
    return [] if value is None or value == [] else [(name, _text(value))]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
