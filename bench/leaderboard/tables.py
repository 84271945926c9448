"""The tables: a line a row, a cell, a pair of rows, or a method over all tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.leaderboard.columns import COLUMNS, names
from bench.leaderboard.overall import overall_lines
from bench.leaderboard.ranking import Ranking, pair_lines, rankings
from bench.leaderboard.rows import Group, Row, by_row, grouped, metric_of, scores, with_extra_tests
from bench.records.record import COLLAPSED_SINCE, Record
from bench.stats.summary import median_of_known, summarise
from bench.suggestions import suggest

if TYPE_CHECKING:
    import pandas as pd


class Tables:
    """All tables of some records; what they share is computed once.

    In the leaderboard, scores are means and costs medians over the seeds that finished. An extra test of a task has
    rows of its own, `TASK/EXTRA_TEST`, with its own scores and the task's costs.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = list(records)
        self._rows = by_row(self._records)
        self._overall: dict[str | None, list[dict[str, Any]]] = {}

    def columns(self, name: str) -> tuple[str, ...]:
        return names(COLUMNS[name])

    def lines(self, name: str, against: str | None = None) -> Iterator[dict[str, Any]]:
        """The lines of a table, computed one at a time; None is unknown.

        against: a method, parameters in brackets, chosen before its results were known: of pairs, those with it, and
        corrected for these alone; of the overall table, the differences from it too.

        Raises:
            UsageError: for a method that is not in the table.
        """
        known = {row.label for row in self._rows}
        if against is not None and against not in known:
            raise UsageError(f"These results have no method {against!r}{suggest(against, known)}")
        columns = self.columns(name)
        return ({key: line.get(key) for key in columns} for line in self._lines(name, against))

    def only(self, records: Iterable[Record]) -> Tables:
        """The tables of the rows of these records alone, as if the others did not exist; names stay the same."""
        ids = {record.id for record in records}
        rows = grouped(with_extra_tests(self._records)).items()
        wanted = {row for row, same in rows if any(each.id in ids for each in same)}
        made = Tables(())
        made._records = self._records
        made._rows = {row: members for row, members in self._rows.items() if row in wanted}
        return made

    def frame(self, name: str, against: str | None = None) -> pd.DataFrame:
        """A table as a data frame of objects; against: see `lines`."""
        import pandas as pd  # its import takes a second, and commands that print text or CSV do without

        # Objects, so that an integer stays one beside an unknown: 4608, not 4608.0.
        return pd.DataFrame(list(self.lines(name, against)), columns=list(self.columns(name)), dtype=object)

    @cached_property
    def _rankings(self) -> dict[Group, Ranking]:
        return rankings(self._rows)

    @cached_property
    def _leaderboard(self) -> dict[Row, dict[str, Any]]:
        return {
            row: _line(row, self._rows[row], ranking) for ranking in self._rankings.values() for row in ranking.rows
        }

    def _lines(self, name: str, against: str | None) -> Iterable[dict[str, Any]]:
        """The lines of a table; they may lack columns, or have more."""
        match name:
            case "leaderboard":
                return self._leaderboard.values()
            case "cells":
                return (_cell_line(row, record) for row, members in self._rows.items() for record in members)
            case "pairs":
                return pair_lines(self._rankings, self._rows, against)
        if against not in self._overall:  # a legend asks for it again
            self._overall[against] = overall_lines(self._rankings, self._leaderboard, against)
        return self._overall[against]


def _line(row: Row, members: Sequence[Record], ranking: Ranking) -> dict[str, Any]:
    ok = [record for record in members if record.status == "ok"]
    summary = summarise(list(scores(members).values()))
    recipe = next((record.recipe for record in members if record.recipe), None)  # the same in all cells of a row
    costs = [_costs(record) for record in ok]
    return {
        "rank_group": ranking.groups.get(row),
        "letters": ranking.letters.get(row),
        "method": row.method,
        "method_params": row.variant,
        **row.group._asdict(),
        "metric": metric_of(members),
        "score_mean": None,
        **({f"score_{name}": value for name, value in vars(summary).items()} if summary else {}),
        "n_seeds": len(ok),
        "n_failed": sum(record.failed for record in members),
        "n_collapsed": _collapsed(ok),
        "status": _status(members),
        **{key: median_of_known([cost[key] for cost in costs]) for key in (costs[0] if costs else ())},
        "memory_kind": next((r.memory.kind for r in ok if r.memory), None),
        "recipe_chosen_by": recipe and recipe.chosen_by,
        "tuning_trials": recipe and recipe.trials,
        "tuning_examples": recipe and recipe.trial_examples,
        "schema_version": max(r.schema_version for r in members),
        "bench_version": max(r.bench_version for r in members),
    }


def _collapsed(ok: Sequence[Record]) -> int | None:
    """How many trainings came to nothing; None: unknown, as of records from before this was looked at."""
    known = [record for record in ok if record.schema_version >= COLLAPSED_SINCE]
    return sum(record.collapsed is not None for record in known) if known else None


def _status(members: Sequence[Record]) -> str:
    """`ok`, or the other statuses, counted: `2 oom` or `1 error`."""
    counts = Counter(record.status for record in members if record.status != "ok")
    return ", ".join(f"{counts[status]} {status}" for status in sorted(counts)) or "ok"


def _cell_line(row: Row, record: Record) -> dict[str, Any]:
    return {
        "cell": record.id,
        "method": row.method,
        "method_params": row.variant,
        **row.group._asdict(),
        "seed": record.cell.seed,
        "metric": record.metric,
        "score": record.score,
        "constant_score": record.constant_score,
        "validation_score": record.validation_score,
        "status": record.status,
        "reason": record.reason,
        **_costs(record),
        "memory_kind": record.memory and record.memory.kind,
        "machine_gflops": record.speed and record.speed.machine_gflops,
        "total_seconds": record.timeline.get("total"),
        "started_at": record.started_at,
        "code": record.cell.code,
        "collapsed": record.collapsed,
        "adapter": record.adapter,
        "schema_version": record.schema_version,
        "bench_version": record.bench_version,
    }


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
