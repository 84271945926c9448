"""From records to tables: one row a method, task, model, profile and preset; or one row a cell."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.record import Record
from bench.stats import rank_groups, summarise

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "rank_group", "method", "method_params", "task", "model", "profile", "preset", "metric",
    "score_mean", "score_std", "score_ci95_low", "score_ci95_high", "n_seeds", "n_failed", "status",
    "method_params_count", "trainable_params", "trainable_share_percent", "trainable_share_with_head_percent",
    "adapter_bytes", "peak_train_memory_mib", "peak_eval_memory_mib", "memory_kind",
    "train_examples_per_second", "train_tokens_per_second", "eval_examples_per_second",
    "step_p50_ms", "step_p95_ms", "train_seconds", "schema_version", "bench_version",
)  # fmt: skip
CELL_COLUMNS = (
    "cell", "method", "method_params", "task", "model", "profile", "preset", "seed", "metric", "score",
    "constant_score", "validation_score", "status", "reason",
    "method_params_count", "trainable_params", "trainable_share_percent", "trainable_share_with_head_percent",
    "adapter_bytes", "peak_train_memory_mib", "peak_eval_memory_mib", "memory_kind",
    "train_examples_per_second", "train_tokens_per_second", "eval_examples_per_second",
    "step_p50_ms", "step_p95_ms", "train_seconds", "total_seconds", "started_at", "code",
    "schema_version", "bench_version",
)  # fmt: skip

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would evaluate a text that starts so


class Group(NamedTuple):
    """What is compared: rows of one group differ in method alone. Never across profiles."""

    task: str
    model: str
    profile: str
    preset: str


class Row(NamedTuple):
    group: Group
    method: str
    variant: str


def aggregated(records: Iterable[Record]) -> pd.DataFrame:
    """The leaderboard: COLUMNS, sorted by group and then from best to worst.

    Costs are medians over the seeds that succeeded; scores are means. The same records give the same
    table in whatever order they come. An extra test of a task has rows of its own, `TASK/EXTRA_TEST`: their
    costs are those of the task, their scores not.
    """
    rows: dict[Row, list[Record]] = defaultdict(list)
    for record in current(with_extra_tests(records)):
        rows[row_of(record)].append(record)
    groups: dict[Group, dict[Row, dict[int, float]]] = defaultdict(dict)
    better: dict[Group, bool] = {}
    for row, members in rows.items():
        groups[row.group][row] = _scores(members)
        for record in members:
            if record.higher_is_better is not None:
                better[row.group] = record.higher_is_better
    lines = []
    for group in sorted(groups):
        ranks = _ranks(groups[group], better.get(group, True))
        sign = -1 if better.get(group, True) else 1
        for row in sorted(groups[group], key=lambda r: _order(groups[group][r], sign, r)):
            lines.append(_line(row, rows[row], ranks.get(row)))
    return _frame(lines, COLUMNS)


def per_cell(records: Iterable[Record]) -> pd.DataFrame:
    """One line a cell, and one more for each extra test: CELL_COLUMNS, by group, method, variant and seed."""
    ordered = sorted(current(with_extra_tests(records)), key=lambda r: (*row_of(r), r.cell.seed))
    return _frame([_cell_line(record) for record in ordered], CELL_COLUMNS)


def with_extra_tests(records: Iterable[Record]) -> list[Record]:
    """The records, and each once more for each extra test of its task.

    Which these are, a cell that failed does not say; others of its task do. So its failure shows there too.
    """
    records = list(records)
    names: dict[str, set[str]] = defaultdict(set)
    for record in records:
        names[record.cell.task].update(record.extra_tests)
    return records + [
        record.on(name)
        for record in records
        for name in sorted(names[record.cell.task])
        if name in record.extra_tests or record.status != "ok"  # a finished one without it was run before there was it
    ]


def current(records: Iterable[Record]) -> list[Record]:
    """The records that belong in one table: of each row those of the code version that ran last.

    Numbers of two versions of the code are not averaged: a seed that only the older one ran is left out.
    """
    rows: dict[Row, list[Record]] = defaultdict(list)
    for record in records:
        rows[row_of(record)].append(record)
    kept: list[Record] = []
    for members in rows.values():
        versions = {_version(r): max(m.finished_at for m in members if _version(m) == _version(r)) for r in members}
        latest = max(versions, key=lambda version: (versions[version], version))
        by_seed: dict[int, Record] = {}
        for record in sorted(members, key=lambda r: (r.finished_at, r.id)):
            if _version(record) == latest:
                by_seed[record.cell.seed] = record
        kept.extend(by_seed.values())
    return kept


def to_csv(frame: pd.DataFrame) -> str:
    """A table as CSV: unknown is empty, and no text starts like a formula of a spreadsheet."""
    lines = [{str(key): _safe(value) for key, value in line.items()} for line in frame.to_dict("records")]
    return str(_frame(lines, list(frame.columns)).to_csv(index=False, lineterminator="\n"))


def _safe(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # A lone carriage return would go unquoted, and a reader would take it for the end of a line.
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if value.startswith(FORMULA) else text


def _version(record: Record) -> tuple[str, ...]:
    """What must agree for two cells of a row to be averaged, beyond what the row itself shows."""
    cell = record.cell
    parts = (
        cell.budget.model_dump_json(),
        cell.profile.model_dump_json(exclude={"summary"}),
        repr(sorted(cell.recipe.items())),
    )
    return (cell.code, cell.task_revision, cell.model_revision, *parts)


def row_of(record: Record) -> Row:
    """The row that a record belongs to."""
    cell = record.cell
    return Row(Group(cell.task, cell.model, cell.profile.name, cell.preset), cell.method, cell.variant)


def _scores(members: Iterable[Record]) -> dict[int, float]:
    return {r.cell.seed: r.score for r in members if r.status == "ok" and r.score is not None}


def _ranks(scores: dict[Row, dict[int, float]], higher_is_better: bool) -> dict[Row, int]:
    names = {f"{row.method}[{row.variant}]": row for row in scores}
    groups = rank_groups({name: scores[row] for name, row in names.items()}, higher_is_better)
    return {names[name]: group for name, group in groups.items()}


def _order(scores: dict[int, float], sign: int, row: Row) -> tuple[float, Row]:
    return (sign * statistics.fmean(scores.values()) if scores else float("inf"), row)


def _line(row: Row, members: Sequence[Record], rank: int | None) -> dict[str, Any]:
    ok = [record for record in members if record.status == "ok"]
    failed = [record for record in members if record.failed]
    summary = summarise([_scores(members)[seed] for seed in sorted(_scores(members))])
    costs = [_costs(record) for record in ok]
    return {
        "rank_group": rank,
        "method": row.method,
        "method_params": row.variant,
        **row.group._asdict(),
        "metric": next((r.metric for r in members if r.metric), None),
        "score_mean": summary and summary.mean,
        "score_std": summary and summary.std,
        "score_ci95_low": summary and summary.ci95_low,
        "score_ci95_high": summary and summary.ci95_high,
        "n_seeds": len(ok),
        "n_failed": len(failed),
        "status": _status(members),
        **{key: _median([cost[key] for cost in costs]) for key in _COSTS},
        "memory_kind": next((r.memory.kind for r in ok if r.memory), None),
        "schema_version": max(r.schema_version for r in members),
        "bench_version": max(r.bench_version for r in members),
    }


def _status(members: Sequence[Record]) -> str:
    """The worst that happened, and how often: `ok`, or for example `2 oom` or `1 error`."""
    counts = Counter(record.status for record in members if record.status != "ok")
    return ", ".join(f"{counts[status]} {status}" for status in sorted(counts)) or "ok"


def _cell_line(record: Record) -> dict[str, Any]:
    row = row_of(record)
    return {
        "cell": record.id,
        "method": row.method,
        "method_params": row.variant,
        **row.group._asdict(),
        "seed": record.cell.seed,
        "metric": record.metric,
        "score": record.score,
        "constant_score": record.constant_score,
        "validation_score": record.validation_scores[-1] if record.validation_scores else None,
        "status": record.status,
        "reason": record.reason,
        **_costs(record),
        "memory_kind": record.memory and record.memory.kind,
        "total_seconds": record.timeline.get("total"),
        "started_at": record.started_at,
        "code": record.cell.code,
        "schema_version": record.schema_version,
        "bench_version": record.bench_version,
    }


_COSTS = (
    "method_params_count", "trainable_params", "trainable_share_percent", "trainable_share_with_head_percent",
    "adapter_bytes", "peak_train_memory_mib", "peak_eval_memory_mib", "train_examples_per_second",
    "train_tokens_per_second", "eval_examples_per_second", "step_p50_ms", "step_p95_ms", "train_seconds",
)  # fmt: skip


def _costs(record: Record) -> dict[str, Any]:
    count, memory, speed = record.parameters, record.memory, record.speed
    return {
        "method_params_count": count and count.method,
        "trainable_params": count and count.trainable,
        "trainable_share_percent": count and count.share_percent,
        "trainable_share_with_head_percent": count and count.share_with_head_percent,
        "adapter_bytes": record.adapter_bytes,
        "peak_train_memory_mib": memory and memory.train_peak_mib,
        "peak_eval_memory_mib": memory and memory.eval_peak_mib,
        "train_examples_per_second": speed and speed.train_examples_per_second,
        "train_tokens_per_second": speed and speed.train_tokens_per_second,
        "eval_examples_per_second": speed and speed.eval_examples_per_second,
        "step_p50_ms": speed and speed.step_p50_ms,
        "step_p95_ms": speed and speed.step_p95_ms,
        "train_seconds": record.timeline.get("train"),
    }


def _median(values: Sequence[float | int | None]) -> float | int | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    middle = statistics.median(known)
    return int(middle) if all(isinstance(value, int) for value in known) and middle == int(middle) else middle


def _frame(lines: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    # Objects, so that a whole number stays one beside an unknown: 4608, not 4608.0.
    return pd.DataFrame(lines, columns=list(columns), dtype=object)
