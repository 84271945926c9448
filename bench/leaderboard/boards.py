"""The tables themselves: one line a row, a cell, a pair of rows, or a method over all tasks."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from bench.leaderboard import columns
from bench.leaderboard.csv import csv_of, frame
from bench.leaderboard.rows import Group, Row, by_row, higher_is_better, row_of, scores
from bench.leaderboard.standings import Standing, overall_lines, pair_lines, standings
from bench.records.record import Record
from bench.stats.pscp import Pscp
from bench.stats.summary import summarise

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = columns.names(columns.LEADERBOARD)
CELL_COLUMNS = columns.names(columns.CELLS)
Name = Literal["leaderboard", "cells", "pairs", "overall"]


def table_columns(name: Name, pscp: Pscp | None = None) -> tuple[columns.Column, ...]:
    """The columns of a table, in order; with PSCP, the leaderboard has it and the FLOPs that it takes."""
    if name == "leaderboard":
        return columns.LEADERBOARD + ((columns.INFERENCE_FLOPS, columns.PSCP) if pscp else ())
    return {"cells": columns.CELLS, "pairs": columns.PAIRS, "overall": columns.OVERALL}[name]


def column_names(name: Name, pscp: Pscp | None = None) -> tuple[str, ...]:
    """The names of a table's columns, in order."""
    return columns.names(table_columns(name, pscp))


class Boards:
    """All tables of some records, each made when it is first asked for; what they share is worked out once."""

    def __init__(self, records: Iterable[Record], pscp: Pscp | None = None) -> None:
        self._rows, self._pscp = by_row(records), pscp

    @cached_property
    def _standings(self) -> dict[Group, Standing]:
        return standings(self._rows)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """`table_columns`, sorted by group and then from best to worst.

        Costs are medians over the seeds that succeeded; scores are means. An extra test of a task has rows of its
        own, `TASK/EXTRA_TEST`: their costs are those of the task, their scores not.
        """
        return self._frame("leaderboard")

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A line a cell and a line an extra test: columns.CELLS, by group, method, variant and seed."""
        return self._frame("cells")

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Every two rows of a group compared: bench.leaderboard.columns.PAIRS."""
        return self._frame("pairs")

    @cached_property
    def overall(self) -> pd.DataFrame:
        """Average ranks over tasks: bench.leaderboard.columns.OVERALL; empty where there is only one task or method."""
        return self._frame("overall")

    def csv(self, name: Name) -> str:
        """One of these tables as `to_csv` writes it, without holding it as a frame."""
        return csv_of(self.lines(name), column_names(name, self._pscp))

    def lines(self, name: Name) -> Iterator[dict[str, Any]]:
        """The lines of a table, made one at a time; a line may hold more than the table's columns."""
        if name == "leaderboard":
            for standing in self._standings.values():
                for row in standing.rows:
                    yield _line(row, self._rows[row], standing.groups.get(row), self._pscp)
        elif name == "cells":
            for members in self._rows.values():
                yield from map(_cell_line, members)
        elif name == "pairs":
            yield from pair_lines(self._standings, self._rows)
        else:
            yield from overall_lines(self._rows)

    def count(self, name: Name) -> int:
        """How many lines a table has."""
        if name == "cells":
            return sum(map(len, self._rows.values()))
        if name == "pairs":
            return sum(len(standing.comparisons) for standing in self._standings.values())
        return len(getattr(self, name))

    def _frame(self, name: Name) -> pd.DataFrame:
        return frame(self.lines(name), column_names(name, self._pscp))


def aggregated(records: Iterable[Record], pscp: Pscp | None = None) -> pd.DataFrame:
    """The leaderboard of records, see `Boards`."""
    return Boards(records, pscp).leaderboard


def per_cell(records: Iterable[Record]) -> pd.DataFrame:
    """The cells of records, see `Boards`."""
    return Boards(records).cells


def pairs(records: Iterable[Record]) -> pd.DataFrame:
    """The comparisons of records, see `Boards`."""
    return Boards(records).pairs


def overall(records: Iterable[Record]) -> pd.DataFrame:
    """The ranks over tasks of records, see `Boards`."""
    return Boards(records).overall


def _line(row: Row, members: Sequence[Record], rank: int | None, pscp: Pscp | None) -> dict[str, Any]:
    ok = [record for record in members if record.status == "ok"]
    failed = [record for record in members if record.failed]
    summary = summarise(list(scores(members).values()))
    each = [_costs(record) for record in ok]
    costs = {key: _median([cost[key] for cost in each]) for key in _COSTS}
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
        **costs,
        "memory_kind": next((r.memory.kind for r in ok if r.memory), None),
        **_recipe(members),
        "pscp": _pscp(pscp, summary.mean, costs, higher_is_better(members)) if pscp and summary else None,
        "schema_version": max(r.schema_version for r in members),
        "bench_version": max(r.bench_version for r in members),
    }


def _recipe(members: Sequence[Record]) -> dict[str, Any]:
    """Who tuned a row, and from how much: its cells differ in seed alone, so they have one recipe."""
    recipe = next((record.recipe for record in members if record.recipe), None)
    return {
        "recipe_chosen_by": recipe and recipe.chosen_by,
        "tuning_trials": recipe and recipe.trials,
        "tuning_examples": recipe and recipe.trial_examples,
    }


def _pscp(pscp: Pscp, score: float, costs: Mapping[str, Any], higher_is_better: bool) -> float | None:
    if not higher_is_better:  # a penalty would make an error smaller, and so better
        return None
    return pscp.of(score, costs["trainable_params"], costs["inference_flops"], costs["peak_train_memory_mib"])


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
        "machine_gflops": record.speed and record.speed.machine_gflops,
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
    "inference_flops",
)  # fmt: skip


def _costs(record: Record) -> dict[str, Any]:
    count, memory, speed = record.parameters, record.memory, record.exclusive_speed
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
        "inference_flops": record.inference_flops,
    }


def _median(values: Sequence[float | int | None]) -> float | int | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    # Of whole numbers one that occurred, so that a count stays one.
    return statistics.median_low(known) if all(isinstance(value, int) for value in known) else statistics.median(known)
