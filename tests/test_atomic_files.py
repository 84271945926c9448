"""Files written whole or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.files import STALE_SECONDS, remove_stale, temporary_path, write_atomically


@pytest.mark.parametrize(
    ("fails", "raised"),
    [(OSError(28, "No space left on device"), StoreError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failure_in_the_middle_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: BaseException, raised: type[BaseException]
) -> None:
    target = tmp_path / "made" / "board.csv"
    write_atomically(target, "old\r\n")

    def sync(handle: int) -> None:
        raise fails

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(raised, match="cannot be written: No space left" if raised is StoreError else None):
        write_atomically(target, "new")
    assert target.read_bytes() == b"old\r\n"
    assert [path.name for path in target.parent.iterdir()] == ["board.csv"]


def test_what_was_written_is_on_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, seen = tmp_path / "a.json", []
    real = os.fsync

    def watch(handle: int) -> None:
        seen.append((os.fstat(handle).st_size, target.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", watch)
    write_atomically(target, "12345")
    assert seen[0] == (5, False)
    assert [named for _, named in seen] == [False, True]  # then the folder, which holds the name


def test_permissions_are_those_of_the_umask(tmp_path: Path) -> None:
    """A results folder on a shared disk is for everybody."""
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "board.csv", "a,b\n")
        os.umask(0o077)
        write_atomically(tmp_path / "mine.csv", "a,b\n")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("board.csv", "mine.csv")] == [0o644, 0o600]


def test_old_temporary_files_are_removed_and_others_stay(tmp_path: Path) -> None:
    old, old_folder, young = (temporary_path(tmp_path / name) for name in "abc")
    other = tmp_path / "precious"
    for file in (old, young, other):
        file.write_text("{")
    old_folder.mkdir()
    for path in (old, old_folder, other):
        os.utime(path, (0, time.time() - STALE_SECONDS - 60))
    remove_stale(tmp_path, ".*.tmp")
    assert sorted(tmp_path.iterdir()) == sorted([young, other])
