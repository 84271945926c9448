"""What is on the page, in which order. A section that is a table is one line here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bench import leaderboard
from bench.grid import method_label
from bench.leaderboard import Group
from bench.record import Record
from bench.report import columns, facts
from bench.report.groups import GroupPage, pages
from bench.report.marks import assign
from bench.report.table import Table
from bench.report.table import table as make_table

GROUP = Group._fields
FILTERS = ("task", "method", "model", "profile", "status")

LEADERBOARD = (
    "Best first within each task. Score: mean over seeds ± half of its 95 % interval; the bar draws the interval on "
    "the scale of its task. Trained and share are without the head."
)
FAILURES = "Cells that did not end well, and those that were skipped, with what is known of why."
CELLS = "One row a cell: what the leaderboard is made of."
MEASURED = "What each column means, in which unit, and how it was measured."
RECIPES = "Settings that each method trained with, and who chose them from how many trials."
ENVIRONMENT = "What the cells ran on. A setting that was not the same in all cells has several rows."
PROFILES = "Under which settings cells ran. Figures of different profiles are never compared."


@dataclass(frozen=True)
class Contents:
    """before and after: the tables before and after the charts."""

    facts: list[tuple[str, str]]
    before: list[Table]
    groups: list[GroupPage]
    after: list[Table]


def contents(records: Sequence[Record]) -> Contents:
    """The page of these records: one a cell, in an order that is always the same."""
    board = leaderboard.aggregated(records)
    marks = assign(method_label(r.cell.method, r.cell.variant) for r in records)
    table = partial(make_table, marks=marks)
    shown = ("task", "method", "score", "rank_group", "trainable_params", "trainable_share_percent",
             "peak_train_memory_mib", "train_examples_per_second", "adapter_bytes", "n_seeds", "status",
             "model", "profile", "preset")  # fmt: skip
    cell = ("task", "method", "seed", "score", "status", "trainable_share_percent", "peak_train_memory_mib",
            "train_examples_per_second", "train_seconds", "cell", "model", "profile", "preset")  # fmt: skip
    failed = ("task", "method", "seed", "status", "reason", "last_step", "traceback", "model", "profile", "preset")
    before = [
        table("leaderboard", "Leaderboard", LEADERBOARD, board, first=shown, filters=FILTERS, groups=GROUP),
    ]
    after = [
        table("failures", "Failed and skipped cells", FAILURES, facts.failures(records), first=failed,
              filters=FILTERS, groups=GROUP, long=("traceback",), empty="Every cell ended well."),
        table("cells", "All cells", CELLS, leaderboard.per_cell(records), first=cell, filters=FILTERS, groups=GROUP,
              folded=True),
        table("columns", "How each number was measured", MEASURED, facts.frame_of(columns.COLUMNS)),
        table("recipes", "Recipes", RECIPES, facts.recipes(records), filters=("task", "method"), folded=True),
        table("environment", "Environment", ENVIRONMENT, facts.environment(records), folded=True),
        table("profiles", "Profiles", PROFILES, facts.profiles(records), filters=("profile",), folded=True),
    ]  # fmt: skip
    return Contents(facts.facts(records), before, pages(board.to_dict("records"), records, marks), after)
