"""A description of the tables' columns that machines read: a Frictionless data package (specs.frictionlessdata.io)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.leaderboard.columns import Column


class Table(NamedTuple):
    """One CSV file: what it is, its columns in order, and its text."""

    summary: str
    columns: Sequence[Column]
    text: str


def describe(tables: Mapping[str, Table], extra: Mapping[str, Any] | None = None) -> str:
    """`datapackage.json` for CSV files by file name; extra: further properties, such as PSCP's constants."""
    package = {
        "profile": "tabular-data-package",
        "name": "pasta-bench-results",
        "title": "Parameter-efficient tuning methods, compared",
        **(extra or {}),
        "resources": [_resource(name, table) for name, table in tables.items()],
    }
    return json.dumps(package, indent=2, ensure_ascii=False) + "\n"


def _resource(file: str, table: Table) -> dict[str, Any]:
    content = table.text.encode()
    return {
        "profile": "tabular-data-resource",
        "name": file.removesuffix(".csv"),
        "path": file,
        "description": table.summary,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": len(content),
        "hash": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "schema": {"fields": [_field(column) for column in table.columns], "missingValues": [""]},
    }


def _field(column: Column) -> dict[str, Any]:
    unit = {} if column.unit is None else {"unit": column.unit}
    return {"name": column.name, "type": column.type, "description": column.description, **unit}
