"""Locks on cells, between real processes."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.errors import StoreError
from bench.runner.cell_locks import FILE, CellLocks

ROOT = Path(__file__).parents[2]
A, B = "0123456789abcdef", "fedcba9876543210"

OTHER = """
import sys
from pathlib import Path
from bench.runner.cell_locks import CellLocks
with CellLocks(Path(sys.argv[1])) as locks:
    print(*(locks.acquire(cell) for cell in sys.argv[2:]), flush=True)
    sys.stdin.read()
"""


def other(root: Path, *cells: str) -> tuple[subprocess.Popen[str], list[bool]]:
    """Another process that wants these cells: it, and which it got; it keeps them while it lives."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, root, *cells], stdin=pipe, stdout=pipe, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    return process, [word == "True" for word in process.stdout.readline().split()]


def test_a_cell_is_one_processs_until_that_gives_it_back_or_dies(tmp_path: Path) -> None:
    with CellLocks(tmp_path / "results") as locks:
        assert locks.acquire(A)
        assert locks.acquire(A)  # again
        process, got = other(tmp_path / "results", A, B)
        assert got == [False, True]
        assert not locks.acquire(B)
        process.kill()
        process.communicate()
        assert locks.acquire(B)
        locks.release(A)
        process, got = other(tmp_path / "results", A, B)
        assert got == [True, False]
        process.communicate("")
    process, got = other(tmp_path / "results", A, B)
    assert got == [True, True]
    process.communicate("")
    assert (tmp_path / "results" / FILE).stat().st_size == 0  # of however many cells


def test_where_there_are_no_locks_every_cell_is_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with CellLocks(tmp_path) as locks:
        assert locks.acquire(A)
        locks.release(A)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/results cannot be written: Not a directory\.$"):
        CellLocks(tmp_path / "file" / "results")
