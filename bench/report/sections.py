"""What is on the page, in which order. A section that is a table is one line here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from bench.leaderboard import Boards, Group, columns
from bench.leaderboard.boards import Name, column_names, leaderboard_columns
from bench.leaderboard.csv import frame, to_csv
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.report import facts
from bench.report.groups import GroupPage, pages
from bench.report.marks import assign
from bench.report.table import Table, rows_of
from bench.report.table import table as make_table
from bench.stats.pscp import Pscp

if TYPE_CHECKING:
    import pandas as pd

GROUP = Group._fields
# What a browser still opens at once. A page of more says what it leaves out, and where all of it is to be had.
MOST_ROWS = 5_000  # of a table
MOST_FAILURES = 500  # with their tracebacks
MOST_GROUPS = 50  # with charts
FILTERS = ("task", "method", "model", "profile", "status")
PAIR_FILTERS = ("task", "method_a", "method_b", "profile", "verdict")

# Columns at first sight, in this order; the rest is shown on request.
FIRST = {
    "leaderboard": (
        "task", "method", "score", "rank_group", "trainable_params", "trainable_share_percent",
        "peak_train_memory_mib", "train_examples_per_second", "adapter_bytes", "n_seeds", "status", *GROUP[1:],
    ),
    "overall": ("method", "average_rank", "group", "n_tasks", "critical_difference", "friedman_p", *GROUP[1:]),
    "pairs": (
        "task", "method_a", "method_b", "difference", "ci95_low", "ci95_high", "p_holm", "minimum_detectable",
        "verdict", *GROUP[1:],
    ),
    "cells": (
        "task", "method", "seed", "score", "status", "trainable_share_percent", "peak_train_memory_mib",
        "train_examples_per_second", "train_seconds", "cell", *GROUP[1:],
    ),
    "recipes": (
        "task", "method", "learning_rate", "epochs", "min_steps", "batch_size", "weight_decay", "warmup_ratio",
        "chosen_by",
    ),
    "failures": ("task", "method", "seed", "status", "reason", "last_step", "traceback", *GROUP[1:]),
}  # fmt: skip

LEADERBOARD = (
    "Best first within each task. Score: mean over seeds ± half of its 95 % interval; the bar draws the interval on "
    "the scale of its task. Trained and share are without the head."
)
OVERALL = (
    "Average ranks over the tasks that all methods finished; 1 is the best. Average ranks that are closer than the "
    "critical difference are not told apart (Friedman, Nemenyi)."
)
PAIRS = (
    "Every two methods of a task, the better mean first: paired by seed and by example, corrected for the number of "
    "pairs (Holm). A pair that is not told apart may still differ by less than the minimum detectable difference."
)
FAILURES = "Cells that did not end well, and those that were skipped, with what is known of why."
CELLS = "One row a cell: what the leaderboard is made of."
MEASURED = "What each column means, in which unit, and how it was measured."
RECIPES = "Settings that each method trained with, and who chose them from how many trials."
CELLS_ELSEWHERE = "`python -m bench leaderboard --per-cell --out FILE.csv` writes all, without tracebacks."
ENVIRONMENT = "What the cells ran on. A setting that was not the same in all cells has several rows."
PROFILES = "Under which settings cells ran. Figures of different profiles are never compared."


@dataclass(frozen=True)
class Contents:
    """before and after: the tables before and after the charts. left_out: which charts there are not, in a sentence."""

    facts: list[tuple[str, str]]
    before: list[Table]
    groups: list[GroupPage]
    left_out: str
    after: list[Table]


def contents(records: Sequence[Record], pscp: Pscp | None = None) -> Contents:
    """The page of these records: one a cell, in an order that is always the same."""
    boards = Boards(records, pscp)
    marks = assign(method_label(r.cell.method, r.cell.variant) for r in records)
    table = partial(make_table, marks=marks)
    board, failures = boards.leaderboard, facts.failures(islice(_failed(records), MOST_FAILURES))
    top = board.head(MOST_ROWS)
    n_failures = sum(1 for _ in _failed(records))
    groups = list(dict.fromkeys(board[list(GROUP)].itertuples(index=False, name=None)))
    drawn = set(groups[:MOST_GROUPS])
    with_charts = [row for row in rows_of(board) if tuple(row[key] for key in GROUP) in drawn]
    before = [
        table("leaderboard", "Leaderboard", _leaderboard(pscp) + _rest(top, len(board), "The download has all."), top,
              first=_first(pscp), filters=FILTERS, groups=GROUP, about=leaderboard_columns(pscp),
              csv=to_csv(board)),
        table("overall", "Over all tasks", OVERALL, boards.overall, first=FIRST["overall"], groups=GROUP[1:],
              about=columns.OVERALL, empty="Ranks over tasks need two methods that finished the same two tasks."),
        table("pairs", "Pairwise comparisons", *_first_of(boards, "pairs", PAIRS, "--pairs"), first=FIRST["pairs"],
              filters=PAIR_FILTERS, groups=GROUP, about=columns.PAIRS, folded=True,
              empty="No two methods have a score on one task."),
    ]  # fmt: skip
    after = [
        table("failures", "Failed and skipped cells", FAILURES + _rest(failures, n_failures, CELLS_ELSEWHERE), failures,
              first=FIRST["failures"], filters=FILTERS, groups=GROUP, long=("traceback",),
              empty="Every cell ended well."),
        table("cells", "All cells", *_first_of(boards, "cells", CELLS, "--per-cell"), first=FIRST["cells"],
              filters=FILTERS, groups=GROUP, about=columns.CELLS, folded=True),
        table("columns", "How each number was measured", MEASURED, facts.meanings(_described(pscp))),
        table("recipes", "Recipes", RECIPES, facts.recipes(records), first=FIRST["recipes"],
              filters=("task", "method"), folded=True, empty="No cell recorded its recipe."),
        table("environment", "Environment", ENVIRONMENT, facts.environment(records), folded=True),
        table("profiles", "Profiles", PROFILES, facts.profiles(records), filters=("profile",), folded=True),
    ]  # fmt: skip
    left_out = f"Charts are of the first {len(drawn)} of {len(groups):,} groups." if len(groups) > len(drawn) else ""
    return Contents(facts.facts(records), before, pages(with_charts, records, marks), left_out, after)


def _failed(records: Sequence[Record]) -> Iterator[Record]:
    return (record for record in records if record.status != "ok")


def _first_of(boards: Boards, name: Name, intro: str, option: str) -> tuple[str, pd.DataFrame]:
    """What a table is introduced with, and as many of its lines as a page holds."""
    shown = frame(islice(boards.lines(name), MOST_ROWS), column_names(name))
    elsewhere = f"`python -m bench leaderboard {option} --out FILE.csv` writes all."
    return intro + _rest(shown, boards.count(name), elsewhere), shown


def _rest(shown: pd.DataFrame, count: int, elsewhere: str) -> str:
    return f" These are the first {len(shown):,} of {count:,} rows. {elsewhere}" if count > len(shown) else ""


def _first(pscp: Pscp | None) -> tuple[str, ...]:
    task, method, score, rank, *others = FIRST["leaderboard"]
    return (task, method, score, rank, *(("pscp",) if pscp else ()), *others)


def _leaderboard(pscp: Pscp | None) -> str:
    if pscp is None:
        return LEADERBOARD
    return f"{LEADERBOARD} PSCP is the score with soft penalties for costs (arXiv 2511.21285), here with {pscp}."


def _described(pscp: Pscp | None) -> dict[str, tuple[columns.Column, ...]]:
    """Columns by the table that has them."""
    return {
        "leaderboard": leaderboard_columns(pscp),
        "cells": columns.CELLS,
        "pairs": columns.PAIRS,
        "overall": columns.OVERALL,
    }
