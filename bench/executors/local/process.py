"""One worker process: how it starts, what is said to it, and that nothing of it stays.

Workers are started with ``subprocess`` and a socket pair rather than with ``multiprocessing.Process``:
spawning would import the driver's ``__main__`` again in each of them, which is harmless under
``python -m bench``, but starts a script without a main guard over and over. Here a worker runs ``_worker.py``
and nothing of the driver's, in a script as in a notebook; it gets the driver's ``sys.path``, so that it finds
the same modules.

Each worker leads a session and process group of its own. A terminal's Ctrl-C therefore reaches the driver
alone, which decides; and what a worker started (data loaders, say) ends with it. A driver that is killed
without warning takes its workers along: they look whether it is still their parent.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import psutil

from bench.errors import BenchError
from bench.executors import LossStatus, Lost, Started
from bench.executors.local.oom import oom_kills
from bench.executors.tasks import Task

GRACE = 2.0
"""Seconds that a worker gets to end by itself before it is killed."""

START_LIMIT = 600.0
"""Seconds that a worker may take to import the target: a cold cache on a network disk is slow, not dead."""

LOG_TAIL = 4096
"""How many bytes of a log go into an event, at the most."""

LOG_LIMIT = 16 * 2**20
"""A log that is longer when a job begins is started anew: one that prints without end should not fill the disk."""

WORKER = Path(__file__).with_name("_worker.py")


@dataclass(frozen=True)
class Plan:
    """How to start a worker."""

    target: str
    setup: str | None
    log_dir: Path | None
    env: dict[str, str]
    progress_interval: float

    def log(self, index: int) -> Path:
        return Path(os.devnull) if self.log_dir is None else self.log_dir / f"worker-{index}.log"


class Worker:
    """One worker process and the task that it is to run, or runs."""

    def __init__(self, index: int, plan: Plan, task: Task) -> None:
        self.index = index
        self.task = task
        self.ready = False
        self.progress: dict[str, Any] | None = None
        self.deadline = time.monotonic() + START_LIMIT
        self._log = plan.log(index)
        self._children: list[psutil.Process] = []
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            if self._log.is_symlink():  # of a results folder that somebody else made: it may lead anywhere
                self._log.unlink()
            log = self._log.open("ab")
        except OSError as error:
            raise BenchError(f"{self._log} cannot be written: {error.strerror}.") from None
        self.link, theirs = Pipe()
        with theirs, log:
            self.process = subprocess.Popen(
                # -P: the folder of the script does not come before the standard library
                [sys.executable, "-P", str(WORKER), str(theirs.fileno()), str(os.getpid())],
                env={**os.environ, **plan.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._mark()
        self._send(pickle.dumps((sys.path, plan.setup, plan.target, plan.progress_interval)))

    def begin(self) -> Started:
        """Send the task to the worker, which is idle."""
        self.ready = True
        self.progress = None
        self._mark()
        timeout = self.task.job.timeout
        self.deadline = float("inf") if timeout is None else self._since + timeout
        self._send(self.task.payload)
        return Started(self.task.job.key, self.index)

    def lost(self, status: LossStatus, reason: str, trace: str | None = None) -> Lost:
        """The loss of the job that has begun."""
        seconds = time.monotonic() - self._since
        tail = self.log_tail() if trace is None else trace
        return Lost(self.task.job.key, status, reason, self.progress, seconds, tail)

    def log_tail(self) -> str:
        """The end of what was printed since the job, or the start of the process, began."""
        try:
            with self._log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, end - LOG_TAIL))
                return log.read(LOG_TAIL).decode(errors="replace")
        except OSError:  # somebody has removed it
            return ""

    def oom_killer_struck(self) -> bool:
        """Whether it did, in this cgroup, since the job, or the start of the process, began."""
        now = oom_kills()
        return now is not None and self._oom_kills is not None and now > self._oom_kills

    def ask_to_end(self) -> None:
        self._send(b"")

    def await_end(self) -> int | None:
        """Wait a little for the process to end; its exit code, None where it has not ended."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(GRACE)
        return None

    def look_for_children(self) -> None:
        """Note what the process has started, also in sessions of their own: when it is gone nobody can tell."""
        with suppress(psutil.Error):
            self._children += psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        """End the process, if it still runs, and all that it started."""
        self.link.close()
        with suppress(ProcessLookupError, PermissionError):  # nothing left; macOS says the latter of zombies
            os.killpg(self.process.pid, signal.SIGKILL)
        for child in self._children:
            with suppress(psutil.Error):  # psutil knows a process from another one of the same id
                child.kill()
        self.process.wait()

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # a worker that died shows in the main loop, where there is one place for it
            self.link.send_bytes(message)

    def _mark(self) -> None:
        self._since = time.monotonic()
        self._log_start = 0
        with suppress(OSError):  # somebody has removed it
            if self._log.is_file() and self._log.stat().st_size > LOG_LIMIT:
                os.truncate(self._log, 0)  # the worker appends, so it goes on at the new end
            self._log_start = self._log.stat().st_size
        self._oom_kills = oom_kills()
