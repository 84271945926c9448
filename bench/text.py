"""Plain-text tables for a terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from bench.sanitize import one_line

LEAST_WIDTH = 16  # a column is not made narrower than this


def text_table(rows: Iterable[Mapping[str, Any]], align: Sequence[str] | None = None) -> str:
    """Rows of text under their keys; control characters are replaced. align: left or right for each column.

    On a terminal, wide columns are wrapped so that the table fits.
    """
    shown = [{key: one_line(str(cell)) for key, cell in row.items()} for row in rows]
    widths = _fitting(shown, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
    return tabulate(
        shown, headers="keys", tablefmt="simple", disable_numparse=True, colalign=align, maxcolwidths=widths
    )


def _fitting(rows: Sequence[Mapping[str, str]], width: int) -> list[int]:
    """The widths of the columns, the widest made narrower until all fit, as far as LEAST_WIDTH allows."""
    keys = list(rows[0]) if rows else []
    widths = [max(len(key), *(len(row[key]) for row in rows)) for key in keys]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > LEAST_WIDTH:
        widths[widths.index(max(widths))] -= 1
    return widths
