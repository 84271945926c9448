"""Records that are damaged, old, or of a version to come: what `run` and `leaderboard` make of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import keeping
import pytest
from commandline import Bench
from quick_grid import QuickGrid

from bench.records.record import SCHEMA_VERSION
from bench.records.store import Store

# One cell as each schema version left it: written by the code of its time, its sources' folders taken out.
OLD = Path(__file__).with_name("old")
VERSIONS = [1, 2, 3, 4, 5, 6, 7, 8]


def old_records() -> dict[int, Path]:
    paths = (OLD / "records").glob("*.json")
    return {json.loads(path.read_text(encoding="utf-8"))["schema_version"]: path for path in paths}


def holds(kept: Any, raw: Any) -> bool:
    """Whether all that was there is there; fields that came later may stand beside it."""
    if isinstance(raw, dict):
        return all(key in kept and holds(kept[key], value) for key, value in raw.items())
    return bool(kept == raw)


def test_there_is_a_record_of_every_old_version() -> None:
    assert sorted(old_records()) == VERSIONS
    assert set(VERSIONS) >= set(range(1, SCHEMA_VERSION))


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_record_is_read_whole(version: int) -> None:
    path = old_records()[version]
    record = Store(OLD).read(path.stem)
    assert record is not None
    assert (record.schema_version, record.status, record.cell.method) == (version, "ok", "steady")
    assert record.id == path.stem
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert record.score == raw["scores"]["accuracy"]
    assert (record.losses, record.predictions) == (raw["losses"], raw["predictions"])
    assert len(record.losses) == 18
    for former in ("exclusive", "processes"):  # settings of profiles that no longer have an effect
        raw["cell"]["profile"].pop(former, None)
    assert holds(json.loads(record.to_json()), raw)


def test_old_records_stand_in_one_table(bench: Bench, tmp_path: Path) -> None:
    """Of a row the newest code alone; each by itself has its row, too."""
    done = bench("leaderboard", OLD, "--per-cell")
    assert done.code == 0
    assert "Left out: 7 cells of older code" in done.err
    for version, path in old_records().items():
        alone = tmp_path / str(version)
        (alone / "records").mkdir(parents=True)
        shutil.copy(path, alone / "records")
        table = bench("leaderboard", alone, "--per-cell")
        assert table.code == 0
        assert path.stem in table.out


# A run over damaged ones

DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeroed": lambda content: content[:100] + bytes(len(content) - 100),
    "garbled": lambda content: b"\xff\xfe" + content,
    "of another cell": lambda content: content.replace(b'"id":"', b'"id":"0', 1),
}


@pytest.mark.slow
def test_damaged_records_are_named_run_again_and_kept(quick: QuickGrid, bench: Bench, tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert quick.run(results, "--seeds", 3).returncode == 0
    sound = keeping.finished(results)
    spoilt = dict(zip(sorted(sound), DAMAGE, strict=False))
    for cell_id, kind in spoilt.items():
        path = Store(results).path(cell_id)
        path.write_bytes(DAMAGE[kind](path.read_bytes()))
    left = {path.read_bytes() for path in (results / "records").iterdir() if path.stem in spoilt}
    before = keeping.finished(results)

    board = bench("leaderboard", results)
    assert board.code == 0
    assert all(f"Left out: {Store(results).path(cell_id)} " in board.err for cell_id in spoilt)

    again = quick.run(results, "--seeds", 3)
    assert again.returncode == 0
    assert f"9 cells, {9 - len(DAMAGE)} of them finished already" in again.stderr
    for cell_id in spoilt:
        assert f"Runs again: {Store(results).path(cell_id)} " in again.stderr
    keeping.assert_kept(before, results)
    assert len(keeping.finished(results)) == 9
    assert {path.read_bytes() for path in (results / "damaged").iterdir()} == left

    third = quick.run(results, "--seeds", 3)
    assert third.returncode == 0
    assert "Runs again" not in third.stderr


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--force",)])
def test_a_record_of_a_newer_version_is_refused_and_nothing_runs(
    more: tuple[str, ...], quick: QuickGrid, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    assert quick.run(results, "--seeds", 1).returncode == 0
    path = Store(results).path(min(keeping.finished(results)))
    newer = json.dumps({**json.loads(path.read_text()), "schema_version": SCHEMA_VERSION + 1, "mood": "good"})
    path.write_text(newer)
    files = {each: each.read_bytes() for each in (results / "records").iterdir()}
    refused = quick.run(results, "--seeds", 2, *more)
    assert refused.returncode == 2
    assert refused.stderr.count("Error: ") == 1
    assert f"its schema version is {SCHEMA_VERSION + 1}, and this one reads" in refused.stderr
    assert "Upgrade bench, or choose another results folder." in refused.stderr
    assert {each: each.read_bytes() for each in (results / "records").iterdir()} == files


def test_a_newer_record_stands_in_no_tables_way(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "results")
    path = next((tmp_path / "results" / "records").iterdir())
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": SCHEMA_VERSION + 1}))
    done = bench("leaderboard", tmp_path / "results")
    assert done.code == 0
    assert "Left out: " in done.err
    assert "Upgrade bench" in done.err
