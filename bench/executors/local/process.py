"""One worker process: how it starts, what is sent to it, and that nothing of it is left behind.

Workers are started with ``subprocess`` and a socket pair. ``multiprocessing`` would import the driver's ``__main__`` in
each of them, which starts a script without a main guard over and over.

Each worker leads a session and process group of its own. A terminal's Ctrl-C therefore reaches the driver alone, which
decides; and what a worker started (data loaders, say) ends with it. When a driver is killed its workers notice and end.
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
from bench.executors import Job, LossStatus, Lost, Started

GRACE_SECONDS = 2.0  # that a worker gets to end by itself before it is killed
START_LIMIT = 600.0  # seconds to import the target: a cold cache on a network disk is slow, not dead
LOG_TAIL = 4096  # bytes of a log that go into an event, at most
LOG_LIMIT = 16 * 2**20  # bytes; a longer log is truncated when a job starts, so that logs cannot fill the disk


@dataclass(frozen=True)
class WorkerConfig:
    """How to start a worker; see :class:`bench.executors.local.LocalExecutor`."""

    target: str
    setup: str | None
    log_dir: Path | None
    env: dict[str, str]

    def log(self, index: int) -> Path:
        return Path(os.devnull) if self.log_dir is None else self.log_dir / f"worker-{index}.log"


class Worker:
    """One worker process and the job that it runs, or will run once it is ready."""

    def __init__(self, index: int, config: WorkerConfig, job: Job) -> None:
        self.index, self.job = index, job
        self.ready = False
        self.progress: dict[str, Any] | None = None
        self.deadline = time.monotonic() + START_LIMIT
        self._log = config.log(index)
        self._descendants: list[psutil.Process] = []
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            if self._log.is_symlink():  # in a results folder that somebody else made it may lead anywhere
                self._log.unlink()
            log = self._log.open("ab")
        except OSError as error:
            raise BenchError(f"{self._log} cannot be written: {error.strerror}.") from None
        self.link, theirs = Pipe()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from bench.executors.local import worker; "
            f"worker.main({theirs.fileno()}, {os.getpid()}, {config.target!r}, {config.setup!r})"
        )
        with theirs, log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                env={**os.environ, **config.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._mark_start()

    def start(self, job: Job) -> Started:
        """Send a job to the worker, which is idle."""
        self.job, self.ready, self.progress = job, True, None
        self._mark_start()
        self.deadline = float("inf") if job.timeout is None else self._since + job.timeout
        self._send(pickle.dumps(job.payload))
        return Started(job.key, self.index)

    def lost(self, status: LossStatus, reason: str, trace: str | None = None) -> Lost:
        seconds = time.monotonic() - self._since
        return Lost(self.job.key, status, reason, self.progress, seconds, self._log_tail() if trace is None else trace)

    def exit_reason(self) -> tuple[LossStatus, str]:
        """Why the process, which has died or is about to, ended."""
        code = self.wait_briefly()
        if code is None:
            return "error", "the worker closed its connection"
        if code >= 0:
            return "error", f"the worker exited with code {code}"
        if code == -signal.SIGKILL and _oom_kills() > self._oom_kills:
            return "oom", "the worker ran out of memory: the kernel's OOM killer ended it"
        name = ""
        with suppress(ValueError):  # most real-time signals have no name
            name = f" ({signal.Signals(-code).name})"
        return "error", f"the worker was killed by signal {-code}{name}"

    def wait_briefly(self) -> int | None:
        """The exit code; None if the process does not end soon."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(GRACE_SECONDS)
        return None

    def terminate(self) -> None:
        """Ask a busy process to end, which leaves its stack in the log."""
        self._note_descendants()
        self.process.terminate()

    def time_out(self) -> str:
        """Ask a process whose time is up to end; the reason."""
        self.terminate()
        if self.ready:
            return f"the job ran longer than its limit of {self.job.timeout:g} s"
        return f"it was not ready after {START_LIMIT:g} s"

    def end(self) -> None:
        """End the process, by itself if it does so soon, and all that it started."""
        self._note_descendants()
        self._send(b"")
        self.wait_briefly()
        self.link.close()
        with suppress(ProcessLookupError, PermissionError):  # nothing left; macOS says the latter of zombies
            os.killpg(self.process.pid, signal.SIGKILL)
        for each in self._descendants:
            with suppress(psutil.Error):  # psutil tells a process from a later one of the same id
                each.kill()
        self.process.wait()

    def _note_descendants(self) -> None:
        # Also those in sessions of their own: once the process has ended they cannot be found.
        with suppress(psutil.Error):
            self._descendants += psutil.Process(self.process.pid).children(recursive=True)

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # a worker that died is handled in the main loop
            self.link.send_bytes(message)

    def _mark_start(self) -> None:
        """Of the process, or of a job: what is said about it later counts from here."""
        self._since, self._oom_kills, self._log_start = time.monotonic(), _oom_kills(), 0
        with suppress(OSError):  # somebody has removed it
            if self._log.is_file() and self._log.stat().st_size > LOG_LIMIT:
                os.truncate(self._log, 0)  # the worker appends, so it goes on at the new end
            self._log_start = self._log.stat().st_size

    def _log_tail(self) -> str:
        try:
            with self._log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, end - LOG_TAIL))
                return log.read(LOG_TAIL).decode(errors="replace")
        except OSError:  # somebody has removed it
            return ""


def _oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory, of a cgroup's or the machine's; 0 where unknown."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
