"""Several runs on one results folder: each cell is computed by one of them.

A run locks a cell while it works on it: one byte of a file that all runs share, at an offset given by the cell's id.
The system drops a process's locks when it ends, however it ends, so there are no stale ones. The driver holds them, not
its workers, which may be on other machines. Where a file system has no locks every cell is granted: the work may then
be done twice, but a record is still one file, written whole.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from bench.errors import StoreError

FILE = ".cells.lock"


class CellLocks:
    """This process's locks on the cells of a results folder. A process opens them once at a time."""

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._file = os.open(root / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(f"{root} cannot be written: {error.strerror}.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)  # and so the locks

    def acquire(self, cell_id: str) -> bool:
        """Whether the cell is this process's from now on, or was already; False: another run works on it."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(cell_id))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True  # no locks here
        return True

    def release(self, cell_id: str) -> None:
        with suppress(OSError):  # no locks here
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _offset(cell_id))


def _offset(cell_id: str) -> int:
    """60 bits of the id: what a file's offset has room for, and enough that no two cells of a grid collide."""
    return int(cell_id[:15], 16)
