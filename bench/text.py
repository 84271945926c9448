"""Plain-text tables for a terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tabulate

from bench.sanitize import one_line

tabulate.MIN_PADDING = 0  # a heading needs no more room than its letters
LEAST_WIDTH = 12  # a column is not made narrower than this


def text_table(
    rows: Iterable[Mapping[str, Any]], align: Sequence[str] | None = None, titles: Mapping[int, str] | None = None
) -> str:
    """Rows of text under their keys; control characters are replaced.

    On a terminal, wide columns are wrapped so that the table fits.

    Args:
        align: left or right for each column.
        titles: a line to stand over the row of that index, after a blank one.
    """
    shown = [{key: one_line(str(cell)) for key, cell in row.items()} for row in rows]
    if shown and sys.stdout.isatty():
        widths = _fitting(shown, shutil.get_terminal_size().columns)
        shown = [{key: textwrap.fill(cell, widths[key]) for key, cell in row.items()} for row in shown]
    table = tabulate.tabulate(shown, headers="keys", tablefmt="simple", disable_numparse=True, colalign=align)
    if not titles:
        return table
    lines = table.splitlines()
    heights = [max(cell.count("\n") + 1 for cell in row.values()) for row in shown]
    at = len(lines) - sum(heights)
    parts = lines[:at]
    for index, height in enumerate(heights):
        parts += [
            *([""] * (index > 0) + [one_line(titles[index])] if index in titles else []),
            *lines[at : at + height],
        ]
        at += height
    return "\n".join(parts)


def _fitting(rows: Sequence[Mapping[str, str]], width: int) -> dict[str, int]:
    """The width of each column: the widest are made narrower until all fit, as far as LEAST_WIDTH allows."""
    keys = dict.fromkeys(key for row in rows for key in row)
    widths = {key: max(*map(len, key.splitlines()), *(len(row.get(key, "")) for row in rows)) for key in keys}
    while sum(widths.values()) + 2 * (len(widths) - 1) > width and max(widths.values()) > LEAST_WIDTH:
        widths[max(widths, key=widths.__getitem__)] -= 1
    return widths
