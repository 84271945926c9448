"""Plain-text tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from bench.sanitize import one_line


def text_table(rows: Iterable[Mapping[str, Any]], align: Sequence[str] | None = None) -> str:
    """Rows of text under their keys; control characters are replaced. align: left or right for each column."""
    shown = [{key: one_line(str(cell)) for key, cell in row.items()} for row in rows]
    return tabulate(shown, headers="keys", tablefmt="simple", disable_numparse=True, colalign=align)
