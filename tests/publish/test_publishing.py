"""Publishing to a folder, and to a hub that runs on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_hub import fake_hub
from made import failed, memory, parameters, record, speed

from bench.errors import StoreError, UsageError
from bench.files import STALE_SECONDS, write_atomically
from bench.publish.folder import SUMS, contents, named_folders, repository, stale, to_folder
from bench.records.record import Record
from bench.records.store import Store

ROOT = Path(__file__).parents[2]


def records() -> list[Record]:
    costs: dict[str, Any] = {"parameters": parameters(), "speed": speed(), "memory": memory(), "losses": [0.5, 0.4]}
    return [*(record(m, s, 0.5 + s / 100, **costs) for m in "ab" for s in range(3)), failed("c", 0, "error")]


def sums_are_right(folder: Path) -> bool:
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    listed = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    there = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file() and p.name != SUMS}
    return listed == {name: hashlib.sha256(p.read_bytes()).hexdigest() for name, p in there.items()}


def test_a_folder_holds_everything_and_its_hashes(tmp_path: Path) -> None:
    to_folder(tmp_path / "new" / "pub", contents(records()))
    pub = tmp_path / "new" / "pub"
    assert {path.name for path in pub.iterdir()} == {
        "README.md", "leaderboard.csv", "cells.csv", "pairs.csv", "overall.csv", "datapackage.json", "report.html",
        "records", SUMS,
    }  # fmt: skip
    assert sums_are_right(pub)
    assert Store(pub).all() == (sorted(records(), key=lambda r: r.id), [])
    (pub / "cells.csv").write_text("changed", encoding="utf-8")
    assert not sums_are_right(pub)


def test_the_same_records_give_the_same_bytes() -> None:
    assert contents(records()) == contents(list(reversed(records())))


def test_publishing_again_replaces_what_was_published_and_nothing_else(tmp_path: Path) -> None:
    to_folder(tmp_path, contents(records()))
    (tmp_path / "note.txt").write_text("mine", encoding="utf-8")
    fewer = contents(records()[:3])
    gone = stale(tmp_path, fewer)
    assert gone == sorted(f"records/{r.id}.json" for r in records()[3:])
    to_folder(tmp_path, fewer)
    assert {p.stem for p in (tmp_path / "records").iterdir()} == {r.id for r in records()[:3]}
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "mine"


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", encoding="utf-8")
    for place in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(UsageError, match="not published by this program"):
            to_folder(place, contents(records()))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_hostile_list_of_hashes_deletes_no_other_files(tmp_path: Path) -> None:
    outside, pub = tmp_path / "outside.txt", tmp_path / "pub"
    outside.write_text("x", encoding="utf-8")
    pub.mkdir()
    (pub / "link").symlink_to(tmp_path)
    (pub / SUMS).write_text(f"0  ../outside.txt\n0  {outside}\n0  link/outside.txt\n0  records\n", encoding="utf-8")
    assert stale(pub, contents(records())) == []
    to_folder(pub, contents(records()))
    assert outside.read_text(encoding="utf-8") == "x"


def test_an_interrupted_publication_does_not_match_its_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_folder(tmp_path, contents(records()[:3]))

    def out_of_space(path: Path, text: str) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr("bench.publish.folder.write_atomically", out_of_space)
    with pytest.raises(OSError, match="no space"):
        to_folder(tmp_path, contents(records()[:2]))
    assert not sums_are_right(tmp_path)


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupted_first_publication_leaves_no_folder(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pub = tmp_path / "pub"
    if there:
        pub.mkdir()
    made = contents(records())
    with monkeypatch.context() as patched:
        written: list[Path] = []

        def full_after_three(path: Path, text: str) -> None:
            if len(written) == 3:
                raise StoreError("the disk is full")
            written.append(path)
            write_atomically(path, text)

        patched.setattr("bench.publish.folder.write_atomically", full_after_three)
        with pytest.raises(StoreError, match="full"):
            to_folder(pub, made)
    assert [path.name for path in tmp_path.rglob("*")] == ["pub"] * there
    to_folder(pub, made)
    assert sums_are_right(pub)


def test_files_of_a_killed_publication_are_removed_a_day_later(tmp_path: Path) -> None:
    pub = tmp_path / "pub[1]"
    old, young, others = (tmp_path / f".{name}.tmp" for name in ("pub[1].old", "pub[1].young", "pub1.old"))
    for folder in (old, young, others):
        folder.mkdir()
        (folder / "README.md").write_text("half", encoding="utf-8")
    for folder in (old, others):
        os.utime(folder, (0, time.time() - STALE_SECONDS - 60))
    to_folder(pub, contents(records()))
    assert not old.exists()
    assert young.is_dir()
    assert others.is_dir()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written"):
        to_folder(tmp_path / "file" / "pub", contents(records()))


def test_cells_of_older_code_and_empty_results_are_not_published() -> None:
    old = record("a", 0, 0.1, of={"code": "old"}, finished_at="2025-01-01T00:00:00.000+00:00")
    assert f"records/{old.id}.json" not in contents([*records(), old])
    with pytest.raises(UsageError, match="no record"):
        contents([])


def test_local_folders_in_records_are_found() -> None:
    local = record("a", 0, of={"model_source": "/home/me/bert", "task_source": "./data.csv"})
    assert named_folders([*records(), local]) == ["/home/me/bert"]


@pytest.mark.parametrize(("target", "name"), [("some/folder", None), ("hub:me/my.board", "me/my.board")])
def test_targets(target: str, name: str | None) -> None:
    assert repository(target) == name


@pytest.mark.parametrize("target", ["hub:", "hub:me", "hub:me/", "hub:a/b/c", "hub:../b", "hub:me/x y"])
def test_malformed_targets(target: str) -> None:
    with pytest.raises(UsageError, match="not of the form hub:OWNER/NAME"):
        repository(target)


# The command, and the hub


def publish(results: Path, to: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "publish", str(results), "--to", to, *more],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for each in records():
        Store(tmp_path / "results").write(each)
    return tmp_path / "results"


@pytest.mark.slow
def test_a_dry_run_writes_nothing_and_contacts_no_hub(results: Path, tmp_path: Path) -> None:
    with fake_hub() as hub:
        for to in (str(tmp_path / "pub"), "hub:owner/board"):
            done = publish(results, to, "--dry-run", HF_ENDPOINT=hub.address, HF_TOKEN=hub.token)
            assert (done.returncode, done.stderr) == (0, "")
            assert f"Would be published to {to}: 15 files" in done.stdout
        assert (hub.created, hub.commits) == ([], [])
    assert not (tmp_path / "pub").exists()


@pytest.mark.slow
def test_a_hub_gets_one_commit_and_old_records_go(results: Path) -> None:
    """The real client against a local hub: no real token or network is used."""
    with fake_hub() as hub:
        hub.files["records/0000000000000000.json"] = b"an old one"
        hub.files["data.parquet"] = b"somebody's"
        done = publish(results, "hub:owner/board", "--json", HF_ENDPOINT=hub.address, HF_TOKEN=hub.token)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["to"] == f"{hub.address}/datasets/owner/board/commit/{'c' * 40}"
        assert hub.created == [{"name": "board", "organization": "owner", "type": "dataset"}]
        assert len(hub.commits) == 1
        made = {path: text.encode() for path, text in contents(records()).items()}
        assert hub.files == {**made, "data.parquet": b"somebody's"}


@pytest.mark.slow
def test_a_hub_that_refuses_is_one_sentence(results: Path) -> None:
    with fake_hub() as hub:
        done = publish(results, "hub:owner/board", HF_ENDPOINT=hub.address, HF_TOKEN="another")
        gone = hub.address
        assert hub.files == {}
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: owner/board could not be published: ")
    assert done.stderr.count("\n") == 1
    assert "another" not in done.stderr
    done = publish(results, "hub:owner/board", HF_ENDPOINT=gone, HF_TOKEN="a-token", HF_HUB_ETAG_TIMEOUT="1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "check the connection to the hub" in done.stderr
