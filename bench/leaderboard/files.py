"""Tables as CSV files, and a Frictionless data package (specs.frictionlessdata.io) that describes their columns."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import write_atomically
from bench.leaderboard.columns import COLUMNS, TABLES, Column
from bench.leaderboard.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = "datapackage.json"
# Spreadsheets evaluate text that starts with these; some treat the full-width signs as the ASCII ones.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write(folder: Path, tables: Tables) -> None:
    """Write every table and the data package into a folder, each atomically."""
    for name, text in texts(tables).items():
        write_atomically(folder / name, text)


def texts(tables: Tables, against: str | None = None) -> dict[str, str]:
    """Every table and the data package as text, by file name.

    against: a method that the overall table gives differences from; pairs are all, whatever it is.
    """
    asked = {name: against if name == "overall" else None for name in TABLES}
    made = {f"{name}.csv": csv_of(tables.lines(name, asked[name]), tables.columns(name)) for name in TABLES}
    resources = [_resource(f"{name}.csv", name, made[f"{name}.csv"]) for name in TABLES]
    return {**made, PACKAGE: _package(resources)}


def package_of(file: str, name: str, text: str) -> str:
    """The data package of one table that was written to a file."""
    return _package([_resource(file, name, text)])


def csv_of(lines: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Lines as CSV: unknown is empty, and no text starts like a spreadsheet formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        writer.writerow([_safe(line.get(name)) for name in columns])
    return text.getvalue()


def to_csv(table: pd.DataFrame) -> str:
    """A data frame as CSV, as `csv_of` writes it."""
    return csv_of(table.to_dict("records"), [str(name) for name in table.columns])  # type: ignore[arg-type]


def _safe(value: Any) -> Any:
    if not isinstance(value, str):
        return None if value != value else value  # NaN is unknown
    # A lone carriage return would not be quoted, and be read as the end of a line.
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if value.startswith(FORMULA) else text


def _package(resources: Sequence[Mapping[str, Any]]) -> str:
    package = {
        "profile": "tabular-data-package",
        "name": "pasta-bench-results",
        "title": "Parameter-efficient tuning methods, compared",
        "resources": resources,
    }
    return json.dumps(package, indent=2, ensure_ascii=False) + "\n"


def _resource(file: str, name: str, text: str) -> dict[str, Any]:
    content = text.encode()
    return {
        "profile": "tabular-data-resource",
        "name": file.removesuffix(".csv"),
        "path": file,
        "description": TABLES[name],
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": len(content),
        "hash": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "schema": {"fields": [_field(column) for column in COLUMNS[name]], "missingValues": [""]},
    }


def _field(column: Column) -> dict[str, Any]:
    unit = {} if column.unit is None else {"unit": column.unit}
    return {"name": column.name, "type": column.type, "description": column.description, **unit}
