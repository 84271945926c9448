"""From records to tables. The same records give the same tables to the byte, in whatever order they come."""

from bench.leaderboard.boards import CELL_COLUMNS, COLUMNS, Boards, aggregated, overall, pairs, per_cell
from bench.leaderboard.csv import to_csv
from bench.leaderboard.rows import Group, Row, current, with_extra_tests
from bench.leaderboard.standings import compare

__all__ = [
    "CELL_COLUMNS",
    "COLUMNS",
    "Boards",
    "Group",
    "Row",
    "aggregated",
    "compare",
    "current",
    "overall",
    "pairs",
    "per_cell",
    "to_csv",
    "with_extra_tests",
]
