"""Turns on a machine: while one worker of a run measures its speed, the others stand still.

Workers agree by locks on two files, which the system drops when a process ends, however it ends. The first file's lock
is held shared by whoever computes, and exclusively by the one who measures. The second is a gate before it, held only
while the first is being taken: without it a worker that waits to be alone would wait for ever, since the others are
never all away at once. Whoever finds the gate held steps aside between two steps.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self


class Turns:
    """One worker's part, for one cell. Within the context it computes with others unless it asked to be alone.

    Args:
        file: the files' path without their suffixes, the same for all who take turns; None: nobody else is there, and
            nothing is done.
        waiting: entered for as long as it waits for others.
        finish: waits for work that the device still has to do; called before others may begin.
    """

    def __init__(
        self,
        file: Path | None = None,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        self._file, self._waiting, self._finish = file, waiting, finish
        self._here = self._gate = -1  # file descriptors
        self._alone = False
        self._files = ExitStack()

    @property
    def taken(self) -> bool:
        """Whether there are others to take turns with."""
        return self._file is not None

    def __enter__(self) -> Self:
        if self._file is not None:
            self._here, self._gate = (self._open(self._file.with_suffix(suffix)) for suffix in (".here", ".gate"))
            self._join()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alone = False
        self._files.close()  # and so the locks

    def alone(self) -> None:
        """Wait until nobody else computes, and keep it so until `together`."""
        if self.taken and not self._alone:
            self._leave()
            with self._waiting():
                fcntl.flock(self._gate, fcntl.LOCK_EX)
                fcntl.flock(self._here, fcntl.LOCK_EX)
            self._alone = True

    def together(self) -> None:
        """Let the others go on."""
        if self._alone:
            self._finish()
            # The gate is still held, so nobody gets in between.
            fcntl.flock(self._here, fcntl.LOCK_SH)
            fcntl.flock(self._gate, fcntl.LOCK_UN)
            self._alone = False

    def pause(self) -> None:
        """Between two steps: stand aside where somebody wants to be alone. Costs next to nothing where nobody does."""
        if not self.taken or self._alone:
            return
        try:
            fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._leave()
            self._join()
        else:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def _join(self) -> None:
        with self._waiting():
            fcntl.flock(self._gate, fcntl.LOCK_EX)
            fcntl.flock(self._here, fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def _leave(self) -> None:
        self._finish()
        fcntl.flock(self._here, fcntl.LOCK_UN)

    def _open(self, path: Path) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._files.callback(os.close, descriptor)
        return descriptor
