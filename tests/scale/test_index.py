"""The index of a large folder: what comes out of it is what the records say, whatever became of them meanwhile."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from large_grid import grid, make
from large_grid import write as write_many
from made import failed, record

from bench import api, index
from bench.comparison.judging import compare
from bench.comparison.measures import NOISY
from bench.errors import StoreError
from bench.forecast.estimate import Estimator
from bench.index import file
from bench.leaderboard import files
from bench.leaderboard.merging import merge
from bench.records import store
from bench.records.record import READABLE_VERSIONS, Record
from bench.records.store import Store
from bench.report import render

POINTS = list(grid())
LATER = "2026-06-01T00:00:00.000+00:00"


pytestmark = pytest.mark.usefixtures("every_folder_has_an_index")


def varied() -> list[Record]:
    """All kinds of task, status, metric and schema version; extra tests, one seed alone, code of two versions."""
    made = [
        make((model, task, method, seed))
        for model, task, method, seed in POINTS
        if model == "model-00" and task <= "task-04" and method[0] == "a" and seed < 4
    ]
    assert {each.metric for each in made} >= {"accuracy", "f1", "matthews", "entity_f1", "spearman", None}
    one_seed = [make(point) for point in POINTS if point[1] == "task-07" and point[3] == 0][:5]
    older = [
        made[at].model_copy(update={"schema_version": version, "adapter_bytes": None})
        for at, version in enumerate(READABLE_VERSIONS)
    ]
    return [
        *made[len(older) :],
        *older,
        *one_seed,
        *(failed("z", seed, status) for seed, status in enumerate(("oom", "timeout", "skipped", "interrupted"))),
        record("undefined", 0, None),
        record("undefined", 1, 0.25, higher_is_better=False),
        record("x", 0, 0.3, of={"code": "newer"}, finished_at=LATER),
        record("x", 1, 0.9, predictions=["?", None], references=[[1], {}], timeline={}),
        record("y", 0, 0.9, metric="of a plugin", scores={"of a plugin": 0.9}, predictions=[1, 0], references=[1, 1]),
        failed("é\x00", 1, "error", reason="\u2028", environment={"a": {"b": [1, None]}}),
    ]


@cache
def varied_few() -> list[Record]:
    return varied()[::4]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("varied")
    for each in varied():
        Store(folder).write(each)
    return folder


@pytest.fixture
def few(tmp_path: Path) -> Store:
    """A folder of some of them."""
    for each in varied_few():
        Store(tmp_path / "few").write(each)
    return Store(tmp_path / "few")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the record files that are read in this process."""
    names: list[str] = []
    real = store.read_file

    def read_file(path: Path) -> Record:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(store, "read_file", read_file)
    return names


def same_tables(folder: Store) -> bool:
    """Whether the index says what the files say, to the byte."""
    (indexed, faults), (whole, found) = index.read(folder), folder.all()
    assert faults == found
    assert {type(each) for each in indexed} <= {index.Indexed}
    return files.tables(indexed) == files.tables(whole)


# The same as the records


def test_tables_are_the_same_to_the_byte(folder: Store, opened: list[str]) -> None:
    assert same_tables(folder)
    opened.clear()
    records, _ = index.read(folder)
    assert len(files.tables(records)["cells.csv"].splitlines()) > 100
    assert opened == []  # not one of all of them


def test_records_are_the_same_in_every_field(folder: Store) -> None:
    indexed, whole = index.read(folder)[0], folder.all()[0]
    assert indexed == whole
    for mine, its in zip(indexed, whole, strict=True):
        for name in Record.model_fields:
            if name != "extra_tests":
                assert getattr(mine, name) == getattr(its, name)
        assert mine.to_json() == its.to_json()
        assert mine.model_dump() == its.model_dump()
        assert (mine.score, mine.failed) == (its.score, its.failed)
        assert mine.cell.id == mine.id
        for test, extra in its.extra_tests.items():
            for name in type(extra).model_fields:
                assert getattr(mine.extra_tests[test], name) == getattr(extra, name)
                assert getattr(mine.on(test), name) == getattr(its.on(test), name)
            assert mine.on(test) == its.on(test)
            assert mine.on(test).cell == its.on(test).cell


@pytest.mark.slow
def test_other_readers_see_the_same(folder: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = folder.all()[0]
    cells = [each.cell for each in whole]
    known = Estimator(whole)
    assert [index.estimator(folder).guess(cell) for cell in cells] == [known.guess(cell) for cell in cells]
    ids = [each.id for each in reversed(whole)] + ["0" * 16]
    done = index.finished(folder, ids)
    assert done == {id: found for id in ids if (found := folder.finished(id))}
    assert list(done) == [id for id in ids if id in done]
    worse = [each.model_copy(update={"scores": dict.fromkeys(each.scores, 0.1)}) for each in whole]
    indexed = index.read(folder)[0]
    for base, new in ((whole, indexed), (indexed, indexed)):
        assert compare(base, worse) == compare(whole, worse)
        assert compare(base, new) == compare(whole, whole)
    for quantity in NOISY:
        assert list(map(quantity.read, indexed)) == list(map(quantity.read, whole))
    assert render(indexed) == render(whole)
    results = api.load(folder.root)
    monkeypatch.setattr(file, "LEAST", 10**6)
    usual = api.load(folder.root)
    for name in ("leaderboard", "cells", "pairs", "overall", "losses", "predictions"):
        assert getattr(results, name).equals(getattr(usual, name))
    assert merge([folder.root, folder.root]).records == whole


# Whatever became of the files


def replace(few: Store, id: str, text: str) -> None:
    few.path(id).write_text(text, encoding="utf-8")


def test_what_is_added_changed_removed_or_damaged_is_seen(few: Store, opened: list[str]) -> None:
    index.read(few)
    ids = [each.id for each in few.all()[0] if each.status == "ok"]
    few.write(record("added", 0, 0.5))
    changed = few.read(ids[0])
    assert changed is not None
    few.write(changed.model_copy(update={"scores": {str(changed.metric): 0.123}}))
    few.path(ids[1]).unlink()
    replace(few, ids[2], "{")
    replace(few, ids[3], '{"schema_version": 99}')
    few.path("f" * 16).mkdir()
    opened.clear()
    records, faults = index.read(few)
    assert len(opened) == 5  # those that look otherwise, and no other
    assert len(faults) == 3
    assert {ids[1], ids[2], ids[3]}.isdisjoint({each.id for each in records})
    assert next(each.score for each in records if each.id == ids[0]) == 0.123
    assert same_tables(few)
    few.write(changed)
    few.write(record("added", 0, 0.75))
    assert same_tables(few)


def test_a_change_that_leaves_size_and_time_is_seen(few: Store) -> None:
    """Whoever sets a file's time back changes when it was changed, and that cannot be set."""
    (first, *_), _ = index.read(few)
    path = few.path(first.id)
    before, text = path.stat(), path.read_text(encoding="utf-8")
    other = text.replace(f'"bench_version":"{first.bench_version}"', '"bench_version":"9.9.9"')
    assert len(other) == len(text)
    path.write_text(other, encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert index.read(few)[0][0].bench_version == "9.9.9"


def test_what_changed_just_now_is_read_again(few: Store, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "FRESH_SECONDS", 3600.0)
    index.read(few)
    opened.clear()
    count = len(list(few.records.iterdir()))
    assert same_tables(few)
    assert len(opened) == 2 * count


def test_a_record_that_changed_since_is_not_mixed_with_what_was_read(few: Store) -> None:
    (first, second, *_), _ = index.read(few)
    few.write(first.whole().model_copy(update={"finished_at": LATER}))  # type: ignore[attr-defined]
    few.path(second.id).unlink()
    for each in (first, second):
        with pytest.raises(StoreError, match=r"\.json has changed since it was looked at; do that again\.$"):
            _ = each.losses


# Whatever became of the index


def damage(file: Path, at: float) -> None:
    content = bytearray(file.read_bytes())
    middle = int(len(content) * at)
    content[middle : middle + 65_536] = b"\xff" * len(content[middle : middle + 65_536])
    file.write_bytes(content)


@pytest.mark.parametrize(
    "happens",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"nothing of the kind"),
        lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        lambda file: damage(file, 0.0),
        lambda file: damage(file, 0.3),
        lambda file: damage(file, 0.6),
        lambda file: damage(file, 0.9),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: (file.unlink(), file.symlink_to("nowhere")),
    ],
)
def test_an_index_that_cannot_be_read_is_made_anew(few: Store, happens: Callable[[Path], Any]) -> None:
    index.read(few)
    happens(few.root / file.FILE)
    assert same_tables(few)


def test_an_index_of_another_version_is_made_anew(
    few: Store, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    index.read(few)
    real = file.version()
    monkeypatch.setattr(file, "version", lambda: f"not {real}")
    opened.clear()
    index.read(few)
    assert len(opened) == len(list(few.records.iterdir()))
    opened.clear()
    index.read(few)
    assert opened == []


def test_a_folder_that_cannot_be_written_needs_no_index(few: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = files.tables(few.all()[0])

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", full)
    assert files.tables(index.read(few)[0]) == whole
    assert not (few.root / file.FILE).exists()


def test_a_disk_that_is_full_in_the_middle_leaves_the_old_index(few: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    index.read(few)
    before = (few.root / file.FILE).read_bytes()
    few.write(record("added", 0, 0.5))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert same_tables(few)
    assert (few.root / file.FILE).read_bytes() == before
    assert [path.name for path in few.root.iterdir() if path.name.endswith(".tmp")] == []


def test_what_a_killed_writer_left_is_cleared_away_after_a_while(few: Store) -> None:
    left = [few.root / f".{file.FILE}.{name}.tmp" for name in ("old", "new")]
    for path in left:
        path.touch()
    os.utime(left[0], (0, 0))
    index.read(few)
    assert [path.exists() for path in left] == [False, True]


@pytest.mark.slow
def test_two_at_once_disturb_nobody(few: Store) -> None:
    """Readers, each of which finds something new and writes, while records come and go."""
    code = (
        "import sys; from pathlib import Path; from bench import index; from bench.records.store import Store\n"
        "index.file.LEAST = 1\n"
        "for _ in range(6):\n"
        "    print(len(index.read(Store(Path(sys.argv[1])))[0]))"
    )
    readers = [
        subprocess.Popen([sys.executable, "-c", code, str(few.root)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    count = len(few.all()[0])
    at = 0
    while any(reader.poll() is None for reader in readers) and at < 10_000:
        few.write(record("coming", at % 50, at / 10_000))
        at += 1
    for reader in readers:
        out, _ = reader.communicate(timeout=60)
        assert reader.returncode == 0
        assert all(count <= int(line) <= count + 50 for line in out.split())
    assert same_tables(few)


def test_a_small_folder_has_none(few: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "LEAST", 10_000)
    records, _ = index.read(few)
    assert {type(each) for each in records} == {Record}
    assert not (few.root / file.FILE).exists()


# Two thousand


@pytest.mark.slow
def test_two_thousand_records_are_read_once(
    tmp_path: Path, opened: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """By several processes; after that no table opens a file, and a run of ten cells makes ten be read."""
    folder = Store(tmp_path)
    write_many(tmp_path, POINTS[:2000])
    records, faults = index.read(folder)
    assert (len(records), faults, opened) == (2000, [], [])  # they were read elsewhere
    assert "Reading 2,000 records into" in capfd.readouterr().err
    texts = files.tables(records)
    files.write(tmp_path, index.read(folder)[0])
    index.estimator(folder)
    index.finished(folder, [each.id for each in records])
    assert opened == []
    whole, _ = folder.all()
    assert texts == files.tables(whole)
    opened.clear()
    write_many(tmp_path, POINTS[1990:2000], better=0.01)
    index.read(folder)
    assert len(opened) == 10
    assert capfd.readouterr().err == ""


def test_the_index_holds_no_object_that_a_file_could_make(few: Store) -> None:
    """Texts, numbers and packed numbers: nothing in it is run or unpickled when it is read."""
    index.read(few)
    with sqlite3.connect(few.root / file.FILE) as content:
        rests = content.execute("SELECT rest FROM records WHERE rest IS NOT NULL").fetchall()
        shared = content.execute("SELECT text FROM shared").fetchall()
    for (text,) in (*rests, *shared):
        json.loads(text)
