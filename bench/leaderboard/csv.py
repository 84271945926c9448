"""Tables as CSV: the same bytes for the same table, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# A spreadsheet would evaluate a text that starts so; some take the full-width signs for the narrow ones.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def frame(lines: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Lines as a data frame with these columns, None where a line has no value."""
    import pandas as pd

    # Objects, so that a whole number stays one beside an unknown: 4608, not 4608.0.
    return pd.DataFrame(list(lines), columns=list(columns), dtype=object)


def to_csv(table: pd.DataFrame) -> str:
    """A table as CSV: unknown is empty, and no text starts like a formula of a spreadsheet."""
    return csv_of(table.to_dict("records"), [str(name) for name in table.columns])  # type: ignore[arg-type]


def csv_of(lines: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """The same of lines, each by column; they are drawn one at a time, so that there may be very many."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        writer.writerow([_safe(line.get(name)) for name in columns])
    return text.getvalue()


def _safe(value: Any) -> Any:
    if not isinstance(value, str):
        return None if value != value else value  # what is no number is unknown
    # A lone carriage return would go unquoted, and a reader would take it for the end of a line.
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if value.startswith(FORMULA) else text
