"""The data package: read and held to the tables by Frictionless' own library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from frictionless import Package
from made import failed, memory, parameters, record, speed

from bench.grid import suites
from bench.leaderboard import columns, files
from bench.leaderboard.tables import Tables
from bench.records.record import Record
from bench.stats.pscp import Penalty, Pscp

PSCP = Pscp(trainable_params=Penalty(constant=10, beta=1), inference_flops=Penalty(constant=1e6, beta=0.5),
            train_memory=Penalty(constant=100, beta=2))  # fmt: skip


def board() -> list[Record]:
    costs = {"parameters": parameters(), "speed": speed(), "memory": memory(), "inference_flops": 3_000_000}
    return [
        *(record(m, s, 0.5 + s / 100, of={"task": t}, **costs) for m in "ab" for s in range(3) for t in ("one", "two")),
        failed("c", 0, "error", reason='=HYPERLINK("http://x","y")'),
        record("d", 0, None),
    ]


@pytest.mark.parametrize("pscp", [None, PSCP])
def test_frictionless_finds_nothing_wrong(tmp_path: Path, pscp: Pscp | None) -> None:
    files.write(tmp_path, Tables(board(), pscp))
    report = Package(str(tmp_path / files.PACKAGE)).validate()
    assert report.valid, report.flatten(["rowNumber", "fieldName", "type", "message"])
    package = Package(str(tmp_path / files.PACKAGE))
    assert {resource.name for resource in package.resources} == set(columns.TABLES)
    rows = package.get_resource("leaderboard").read_rows()
    assert rows[0]["trainable_params"] == 10
    assert (rows[0].get("pscp") is not None) == (pscp is not None)


def test_frictionless_would_find_something(tmp_path: Path) -> None:
    """So that the test above can fail: another byte, and a text where a number belongs."""
    files.write(tmp_path, Tables(board()))
    path = tmp_path / "cells.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",0.5,", ",half,", 1), encoding="utf-8")
    found = {type for (type,) in Package(str(tmp_path / files.PACKAGE)).validate().flatten(["type"])}
    assert {"hash-count", "type-error"} & found


def test_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    made = files.texts(Tables(board()))
    assert files.texts(Tables(reversed(board()))) == made
    files.write(tmp_path, Tables(board()))
    assert {path.name: path.read_bytes().decode() for path in tmp_path.iterdir()} == made


def test_one_table_described(tmp_path: Path) -> None:
    about = json.loads(files.package_of("my.csv", "pairs", "a,b\n", PSCP))
    (resource,) = about["resources"]
    assert (resource["path"], resource["bytes"], about["pscp"]["train_memory"]["beta"]) == ("my.csv", 4, 2)
    assert [field["name"] for field in resource["schema"]["fields"]] == list(columns.names(columns.PAIRS))


def test_no_column_is_described_twice_or_not_at_all() -> None:
    for table in (columns.LEADERBOARD, columns.CELLS, columns.PAIRS, columns.OVERALL):
        assert len({column.name for column in table}) == len(table)
        assert all(column.description for column in table)


# PSCP


def test_pscp_by_hand() -> None:
    # 0.51 mean; 10 of 10 parameters: 1/2. 3 of 1 million FLOPs: (1 + 3)^-0.5 = 1/2. 100 of 100 MiB: 2^-2 = 1/4.
    row = next(Tables(board(), PSCP).lines("leaderboard"))
    assert row["score_mean"] == pytest.approx(0.51)
    assert row["pscp"] == pytest.approx(0.51 / 16)
    assert row["inference_flops"] == 3_000_000


def test_pscp_is_unknown_where_a_cost_is_and_not_meant_for_negative_scores() -> None:
    assert PSCP.of(0.5, 1, 1, None) is None
    assert PSCP.of(None, 1, 1, 1) is None
    assert PSCP.of(-0.5, 1, 1, 1) is None
    assert PSCP.of(0.5, 0, 0, 0) == 0.5
    lower = [record("a", s, 0.5, higher_is_better=False, parameters=parameters(), speed=speed(), memory=memory(),
                    inference_flops=1) for s in range(2)]  # fmt: skip
    assert [line["pscp"] for line in Tables(lower, PSCP).lines("leaderboard")] == [None]


def test_more_cost_is_never_better() -> None:
    scores = [PSCP.of(0.8, cost, 1e6, 100) for cost in (0, 1, 10, 1e9)]
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]


@pytest.mark.parametrize("suite", ["quick", "standard", "full"])
def test_shipped_constants_are_printed(suite: str) -> None:
    constants = suites.load(suite).pscp
    assert constants is not None
    assert str(constants) == (
        "trainable parameters: C = 227,140, beta = 0.1; inference FLOPs: C = 645,600,768, beta = 0.1; "
        "training memory (MiB): C = 1,024, beta = 0.1"
    )
