"""The data package: read and held to the tables by Frictionless' own library."""

from __future__ import annotations

import json
from pathlib import Path

from frictionless import Package
from made import failed, memory, parameters, record, speed

from bench.leaderboard import columns, files
from bench.leaderboard.tables import Tables
from bench.records.record import Record


def board() -> list[Record]:
    costs = {"parameters": parameters(), "speed": speed(), "memory": memory(), "inference_flops": 3_000_000}
    return [
        *(record(m, s, 0.5 + s / 100, of={"task": t}, **costs) for m in "ab" for s in range(3) for t in ("one", "two")),
        failed("c", 0, "error", reason='=HYPERLINK("http://x","y")'),
        record("d", 0, None),
    ]


def test_frictionless_finds_nothing_wrong(tmp_path: Path) -> None:
    files.write(tmp_path, Tables(board()))
    report = Package(str(tmp_path / files.PACKAGE)).validate()
    assert report.valid, report.flatten(["rowNumber", "fieldName", "type", "message"])
    package = Package(str(tmp_path / files.PACKAGE))
    assert {resource.name for resource in package.resources} == set(columns.TABLES)
    rows = package.get_resource("leaderboard").read_rows()
    assert rows[0]["trainable_params"] == 10


def test_frictionless_would_find_something(tmp_path: Path) -> None:
    """So that the test above can fail: another byte, and a text where a number belongs."""
    files.write(tmp_path, Tables(board()))
    path = tmp_path / "cells.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",0.5,", ",half,", 1), encoding="utf-8")
    found = {type for (type,) in Package(str(tmp_path / files.PACKAGE)).validate().flatten(["type"])}
    assert {"hash-count", "type-error"} & found


def test_one_table_described(tmp_path: Path) -> None:
    about = json.loads(files.package_of("my.csv", "pairs", "a,b\n"))
    (resource,) = about["resources"]
    assert (resource["path"], resource["bytes"]) == ("my.csv", 4)
    assert [field["name"] for field in resource["schema"]["fields"]] == list(columns.names(columns.PAIRS))


def test_no_column_is_described_twice_or_not_at_all() -> None:
    for table in (columns.LEADERBOARD, columns.CELLS, columns.PAIRS, columns.OVERALL):
        assert len({column.name for column in table}) == len(table)
        assert all(column.description for column in table)
