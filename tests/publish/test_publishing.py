"""Publishing to a folder, and to a hub whose client is a stub."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, create_autospec

import pytest
from commandline import Bench
from huggingface_hub import HfApi
from made import failed, memory, parameters, record, speed

from bench.errors import StoreError, UsageError
from bench.files import STALE_SECONDS, write_atomically
from bench.publish import folder
from bench.publish.folder import SUMS, contents, named_folders, repository, stale, to_folder
from bench.records.record import Record
from bench.records.store import Store


def records() -> list[Record]:
    costs: dict[str, Any] = {"parameters": parameters(), "speed": speed(), "memory": memory(), "losses": [0.5, 0.4]}
    return [*(record(m, s, 0.5 + s / 100, **costs) for m in "ab" for s in range(3)), failed("c", 0, "error")]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """A publication's files."""
    return contents(records())


@pytest.fixture(scope="module")
def fewer() -> dict[str, str]:
    """A publication of the first three records."""
    return contents(records()[:3])


def sums_are_right(folder: Path) -> bool:
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    listed = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
    there = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file() and p.name != SUMS}
    return listed == {name: hashlib.sha256(p.read_bytes()).hexdigest() for name, p in there.items()}


def test_a_folder_holds_everything_and_its_hashes(made: dict[str, str], tmp_path: Path) -> None:
    assert contents(list(reversed(records()))) == made
    pub = tmp_path / "new" / "pub"
    to_folder(pub, made)
    assert {path.name for path in pub.iterdir()} == {
        "README.md", "leaderboard.csv", "cells.csv", "pairs.csv", "overall.csv", "datapackage.json", "report.html",
        "records", SUMS,
    }  # fmt: skip
    assert sums_are_right(pub)
    assert Store(pub).all() == (sorted(records(), key=lambda r: r.id), [])
    (pub / "cells.csv").write_text("changed", encoding="utf-8")
    assert not sums_are_right(pub)


def test_the_overall_table_may_be_against_one_method_and_the_pairs_are_all() -> None:
    records = [record(name, seed, score + seed / 100) for name, score in (("a", 0.1), ("b", 0.2), ("c", 0.3))
               for seed in range(2)]  # fmt: skip
    plain, against = contents(records), contents(records, "a")
    assert against["pairs.csv"] == plain["pairs.csv"]
    assert ["Difference to the chosen method" in made["report.html"] for made in (plain, against)] == [False, True]
    rows = list(csv.DictReader(against["overall.csv"].splitlines()))
    assert [(row["method"], row["against"]) for row in rows] == [("c", "a"), ("b", "a"), ("a", "a")]
    with pytest.raises(UsageError, match="no method 'd'"):
        contents(records, "d")


def test_publishing_again_replaces_what_was_published_and_nothing_else(
    made: dict[str, str], fewer: dict[str, str], tmp_path: Path
) -> None:
    to_folder(tmp_path, made)
    (tmp_path / "note.txt").write_text("mine", encoding="utf-8")
    assert stale(tmp_path, fewer) == sorted(f"records/{r.id}.json" for r in records()[3:])
    to_folder(tmp_path, fewer)
    assert {p.stem for p in (tmp_path / "records").iterdir()} == {r.id for r in records()[:3]}
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "mine"


def test_other_files_are_left_alone(made: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", encoding="utf-8")
    for place in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(UsageError, match="not published by this program"):
            to_folder(place, made)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(StoreError, match="cannot be written"):
        to_folder(tmp_path / "thesis.tex" / "pub", made)


def test_a_hostile_list_of_hashes_deletes_no_other_files(made: dict[str, str], tmp_path: Path) -> None:
    outside, pub = tmp_path / "outside.txt", tmp_path / "pub"
    outside.write_text("x", encoding="utf-8")
    pub.mkdir()
    (pub / "link").symlink_to(tmp_path)
    (pub / SUMS).write_text(f"0  ../outside.txt\n0  {outside}\n0  link/outside.txt\n0  records\n", encoding="utf-8")
    assert stale(pub, made) == []
    to_folder(pub, made)
    assert outside.read_text(encoding="utf-8") == "x"


@pytest.mark.parametrize("before", ["nothing", "an empty folder", "a publication"])
def test_an_interrupted_publication(
    before: str, made: dict[str, str], fewer: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new folder does not exist until it is complete; an existing one does not match its hashes."""
    pub, written = tmp_path / "pub", list[Path]()
    if before == "a publication":
        to_folder(pub, fewer)
    elif before == "an empty folder":
        pub.mkdir()

    def full_after_three(path: Path, text: str) -> None:
        if len(written) == 3:
            raise StoreError("the disk is full")
        written.append(path)
        write_atomically(path, text)

    with monkeypatch.context() as patched:
        patched.setattr("bench.publish.folder.write_atomically", full_after_three)
        with pytest.raises(StoreError, match="full"):
            to_folder(pub, made)
    if before == "a publication":
        assert not sums_are_right(pub)
    else:
        assert [path.name for path in tmp_path.rglob("*")] == (["pub"] if before == "an empty folder" else [])
    to_folder(pub, made)
    assert sums_are_right(pub)


def test_files_of_a_killed_publication_are_removed_a_day_later(made: dict[str, str], tmp_path: Path) -> None:
    old, young, others = (tmp_path / f".{name}.tmp" for name in ("pub[1].old", "pub[1].young", "pub1.old"))
    for temporary in (old, young, others):
        temporary.mkdir()
        (temporary / "README.md").write_text("half", encoding="utf-8")
    for temporary in (old, others):
        os.utime(temporary, (0, time.time() - STALE_SECONDS - 60))
    to_folder(tmp_path / "pub[1]", made)
    assert [temporary.is_dir() for temporary in (old, young, others)] == [False, True, True]


def test_cells_of_older_code_and_empty_results_are_not_published() -> None:
    old = record("a", 0, 0.1, of={"code": "old"}, finished_at="2025-01-01T00:00:00.000+00:00")
    assert f"records/{old.id}.json" not in contents([*records(), old])
    with pytest.raises(UsageError, match="no record"):
        contents([])


def test_local_folders_in_records_are_found() -> None:
    local = record("a", 0, of={"model_source": "/home/me/bert", "task_source": "./data.csv"})
    assert named_folders([*records(), local]) == ["/home/me/bert"]


def test_targets() -> None:
    assert (repository("some/folder"), repository("hub:me/my.board")) == (None, "me/my.board")
    for target in ("hub:", "hub:me", "hub:me/", "hub:a/b/c", "hub:../b", "hub:me/x y"):
        with pytest.raises(UsageError, match="not of the form hub:OWNER/NAME"):
            repository(target)


# The command, and the hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """The hub's client, with the signatures of the real one."""
    client: MagicMock = create_autospec(HfApi, instance=True)
    monkeypatch.setattr(folder, "HfApi", lambda: client)
    return client


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for each in records():
        Store(tmp_path / "results").write(each)
    return tmp_path / "results"


def test_a_dry_run_writes_nothing_and_contacts_no_hub(
    hub: MagicMock, results: Path, tmp_path: Path, bench: Bench
) -> None:
    for to in (tmp_path / "pub", "hub:owner/board"):
        done = bench("publish", results, "--to", to, "--dry-run")
        assert (done.code, done.err) == (0, "")
        assert f"Would be published to {to}: 15 files" in done.out
    assert hub.method_calls == []
    assert not (tmp_path / "pub").exists()


def test_a_hub_gets_one_commit_that_deletes_old_records(
    hub: MagicMock, results: Path, made: dict[str, str], bench: Bench
) -> None:
    uploaded: dict[str, str] = {}

    def upload(*, folder_path: Path, **_: object) -> SimpleNamespace:
        files = {str(file.relative_to(folder_path)): file for file in folder_path.rglob("*") if file.is_file()}
        uploaded.update({name: file.read_text(encoding="utf-8") for name, file in files.items()})
        return SimpleNamespace(commit_url="https://hub/commit/1")

    hub.upload_folder.side_effect = upload
    done = bench("publish", results, "--to", "hub:owner/board", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["to"] == "https://hub/commit/1"
    assert uploaded == made
    hub.create_repo.assert_called_once_with("owner/board", repo_type="dataset", exist_ok=True)
    options = hub.upload_folder.call_args.kwargs
    assert (options["repo_id"], options["repo_type"]) == ("owner/board", "dataset")
    assert options["delete_patterns"] == "records/*.json"


@pytest.mark.parametrize("call", ["create_repo", "upload_folder"])
def test_a_hub_that_refuses_is_one_sentence(call: str, hub: MagicMock, results: Path, bench: Bench) -> None:
    getattr(hub, call).side_effect = OSError("401 Client Error.\nInvalid username or password.")
    done = bench("publish", results, "--to", "hub:owner/board")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("Error: owner/board could not be published: 401 Client Error. ")
    assert "check the connection to the hub" in done.err
