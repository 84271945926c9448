"""Runs jobs in warm worker processes on this machine (Linux, macOS).

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
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Pipe, wait
from pathlib import Path
from typing import Any

import psutil

from bench.errors import BenchError, UsageError
from bench.executors import Event, Finished, Job, LossStatus, Lost, Progress, Started
from bench.executors.tasks import Task, draw

GRACE = 2.0
"""Seconds that a worker gets to end by itself before it is killed."""

TICK = 0.5
"""Seconds between two looks for dead workers. The end of the socket tells sooner, unless a process that the
worker forked still holds it open."""

START_LIMIT = 600.0
"""Seconds that a worker may take to import the target: a cold cache on a network disk is slow, not dead."""

STARTS_PER_JOB = 2
"""How many workers may die while starting before the job that they were to run is lost."""

STARTS_IN_A_ROW = 3
"""How many workers in a row may die while starting before no more are started."""

PROGRESS_INTERVAL = 0.1
"""Seconds between two reports of a job's progress, at the least."""

LOG_TAIL = 4096
"""How many bytes of a log go into an event, at the most."""

LOG_LIMIT = 16 * 2**20
"""A log that is longer when a job begins is started anew: one that prints without end should not fill the disk."""

WORKER = Path(__file__).with_name("_worker.py")


class LocalExecutor:
    """Calls ``target`` for each job in one of a few worker processes, which are kept for the next job.

    target: ``package.module:function``, imported once in each worker, called as ``target(payload, report)``.
    workers: how many processes run at a time. There are never more than there are jobs; with one, jobs run
        strictly in the order given.
    log_dir: where what workers print goes, ``worker-N.log`` each, appended to; None throws it away.
    env: added to the driver's environment before a worker's interpreter starts, so that thread counts and
        PYTHONHASHSEED take effect.
    setup: ``package.module:function``, called without arguments in each worker before the target is imported.
    first: the number of the first worker; the others follow on it.
    progress_interval: seconds between two reports of a job's progress, at the least.

    A job that takes its worker down is lost and not tried again; a fresh worker goes on with the next one.
    """

    def __init__(
        self,
        target: str,
        workers: int = 1,
        log_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        setup: str | None = None,
        *,
        first: int = 0,
        progress_interval: float = PROGRESS_INTERVAL,
    ) -> None:
        if workers < 1:
            raise UsageError(f"the number of workers must be at least 1, not {workers}")
        if os.name != "posix":
            raise UsageError("local workers need Linux or macOS; on Windows, use the Linux subsystem (WSL)")
        self._workers = range(first, first + workers)
        self._plan = _Plan(target, setup, log_dir and log_dir.absolute(), dict(env or {}), progress_interval)

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        """Run all jobs; see :class:`bench.executors.Executor`."""
        yield from _Run(self._plan, self._workers, iter(jobs)).events()


@dataclass(frozen=True)
class _Plan:
    """How to start a worker."""

    target: str
    setup: str | None
    log_dir: Path | None
    env: dict[str, str]
    progress_interval: float

    def log(self, index: int) -> Path:
        return Path(os.devnull) if self.log_dir is None else self.log_dir / f"worker-{index}.log"


class _Run:
    """One run. A worker has a job from its first moment to its last, and never waits for one."""

    def __init__(self, plan: _Plan, numbers: range, jobs: Iterator[Job]) -> None:
        self._plan = plan
        self._numbers = numbers
        self._jobs = jobs
        self._workers: dict[int, _Worker] = {}
        self._failed_starts = 0  # in a row
        self._last_failure = ""

    def events(self) -> Generator[Event, None, None]:
        try:
            for index in self._numbers:
                yield from self._hire(index)
            while self._workers:
                workers = list(self._workers.values())
                nearest = min(worker.deadline for worker in workers) - time.monotonic()
                wait([worker.link for worker in workers], timeout=max(0.0, min(TICK, nearest)))
                for worker in workers:
                    if worker.link.poll():  # first, so that a result that made it in time counts
                        yield from self._listen(worker)
                    elif worker.process.poll() is not None and not worker.link.poll():
                        # (the second look is for what it sent between the first one and its end)
                        yield from self._bury(worker)
                    elif worker.deadline <= time.monotonic():
                        yield from self._time_out(worker)
            while (task := (yield from draw(self._jobs))) is not None:  # left over when no worker can be started
                yield _never_started(task, self._last_failure)
        finally:
            self._close()

    def _hire(self, index: int) -> Generator[Event, None, None]:
        """Start a worker for the next job, if there is one."""
        if self._failed_starts < STARTS_IN_A_ROW and (task := (yield from draw(self._jobs))) is not None:
            self._workers[index] = _Worker(index, self._plan, task)

    def _listen(self, worker: _Worker) -> Generator[Event, None, None]:
        """Take one message from a worker."""
        try:
            message = worker.link.recv_bytes()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        try:
            kind, *content = pickle.loads(message)
        except Exception as exc:  # noqa: BLE001 - unpickling runs whatever code the target's data brings along
            self._remove(worker)
            yield worker.lost("error", f"what the job sent cannot be unpickled: {type(exc).__name__}: {exc}")
            yield from self._hire(worker.index)
            return
        match kind, content:
            case "ready", []:
                self._failed_starts = 0
                yield worker.begin()
            case "unfit", [reason, trace]:
                yield from self._fail_start(worker, f"the worker could not start: {reason}", trace)
            case "progress", [data]:
                worker.progress = data
                yield Progress(worker.task.job.key, data)
            case "done", [result, leaves]:
                yield Finished(worker.task.job.key, result)
                yield from self._proceed(worker, leaves)
            case "lost", [status, reason, trace, leaves]:
                yield worker.lost(status, reason, trace)
                yield from self._proceed(worker, leaves)

    def _proceed(self, worker: _Worker, leaves: bool) -> Generator[Event, None, None]:
        """After a job that left its worker alive: the next one, on this worker or on a fresh one."""
        if leaves:
            self._remove(worker)
            yield from self._hire(worker.index)
        elif (task := (yield from draw(self._jobs))) is None:
            self._remove(worker)
        elif worker.process.poll() is None:
            worker.task = task
            yield worker.begin()
        else:  # it died after its last job: no fault of this one
            self._remove(worker)
            self._workers[worker.index] = _Worker(worker.index, self._plan, task)

    def _bury(self, worker: _Worker) -> Generator[Event, None, None]:
        """A worker has died by itself."""
        code = worker.await_end()
        oom = code == -signal.SIGKILL and worker.oom_killer_struck()
        reason = "the worker ran out of memory: the kernel's OOM killer ended it" if oom else _describe(code)
        self._remove(worker)
        if worker.ready:
            yield worker.lost("oom" if oom else "error", reason)
            yield from self._hire(worker.index)
        else:
            yield from self._fail_start(worker, f"while starting, {reason}", worker.log_tail())

    def _time_out(self, worker: _Worker) -> Generator[Event, None, None]:
        worker.look_for_children()
        worker.process.terminate()
        self._remove(worker)
        if worker.ready:
            yield worker.lost("timeout", f"the job ran longer than its limit of {worker.task.job.timeout:g} s")
            yield from self._hire(worker.index)
        else:
            reason = f"the worker was not ready after {START_LIMIT:g} s"
            yield from self._fail_start(worker, reason, worker.log_tail())

    def _fail_start(self, worker: _Worker, reason: str, log_tail: str) -> Generator[Event, None, None]:
        """A worker did not get as far as its job: try again, but not for ever."""
        self._remove(worker)
        task = worker.task
        task.failed_starts += 1
        self._failed_starts += 1
        self._last_failure = reason
        if task.failed_starts < STARTS_PER_JOB and self._failed_starts < STARTS_IN_A_ROW:
            self._workers[worker.index] = _Worker(worker.index, self._plan, task)
        else:
            yield _never_started(task, reason, log_tail)
            yield from self._hire(worker.index)

    def _remove(self, worker: _Worker) -> None:
        """End a worker, if that has not been done. One that is idle ends by itself, politely asked."""
        if self._workers.pop(worker.index, None) is not None:
            worker.look_for_children()
            worker.ask_to_end()
            worker.await_end()
            worker.kill()

    def _close(self) -> None:
        """End all workers, whatever they are doing."""
        workers = list(self._workers.values())
        self._workers.clear()
        try:
            for worker in workers:  # all of them first, so that they end at the same time
                worker.look_for_children()
                worker.process.terminate()
            for worker in workers:
                worker.await_end()
        finally:  # even if a second Ctrl-C cuts the waiting short
            for worker in workers:
                worker.kill()


class _Worker:
    """One worker process and the task that it is to run, or runs."""

    def __init__(self, index: int, plan: _Plan, task: Task) -> None:
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


def oom_kills(root: Path = Path("/")) -> int | None:
    """How many processes of this process's memory cgroup the kernel has killed for lack of memory.

    Of the whole machine where the cgroup does not tell; None where nothing does (not Linux, an old kernel).
    """
    for file in [*_cgroup_files(root), root / "proc/vmstat"]:
        with suppress(OSError):
            for line in file.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return None


def _cgroup_files(root: Path) -> Iterator[Path]:
    """Where the counter may be. In a container the path can be the host's, and its folder be the top one."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                top, name = root / "sys/fs/cgroup", "memory.events"
            elif "memory" in controllers.split(","):
                top, name = root / "sys/fs/cgroup/memory", "memory.oom_control"
            else:
                continue
            yield top / path.lstrip("/") / name
            yield top / name


def _describe(code: int | None) -> str:
    if code is None:
        return "the worker closed its connection"
    if code >= 0:
        return f"the worker exited with code {code}"
    name = ""
    with suppress(ValueError):  # most real-time signals have no name
        name = f" ({signal.Signals(-code).name})"
    return f"the worker was killed by signal {-code}{name}"


def _never_started(task: Task, reason: str, log_tail: str = "") -> Lost:
    return Lost(task.job.key, "error", reason, None, 0.0, log_tail)
