"""The worker's side of the local executor. It is run as a script, by its path, in a process of its own.

    python -P _worker.py SOCKET DRIVER       a file descriptor and a process id

Only the standard library is imported before the driver has sent its ``sys.path``. Messages are pickled:

    from the driver     (sys_path, setup, target, interval)          once; seconds between two reports of progress
                        a pickled payload                            a job
                        nothing (zero bytes)                         the end
    to the driver       ("ready",)                                   once, or
                        ("unfit", reason, traceback)                 once, before it ends
                        ("progress", data)
                        ("done", result, leaves)                     `leaves`: the worker ends after this
                        ("lost", status, reason, traceback, leaves)
"""

from __future__ import annotations

import faulthandler
import io
import operator
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

    from bench.executors import Report, Target

UPKEEP_INTERVAL = 0.5
"""Seconds between two looks at whether the driver is alive and a report waits to be sent."""


class Reporter:
    """The ``report`` of one job: thins out what is sent, and never keeps the newest back for long."""

    def __init__(self, link: Connection, interval: float) -> None:
        self._link = link
        self._interval = interval
        self._lock = threading.Lock()
        self._waiting: bytes | None = None
        self._sent_at = float("-inf")
        self._over = False

    def __call__(self, data: dict[str, Any]) -> None:
        # Pickled even if it is not sent: the target may change its dict later, and what cannot be pickled
        # should fail each time and not now and then.
        message = pickle.dumps(("progress", data))
        with self._lock:
            if not self._over:  # a thread that the job left behind must not speak in the next job's name
                self._waiting = message
                self._send(time.monotonic())

    def catch_up(self) -> None:
        """Send what was held back, for a target that goes quiet after a burst of reports."""
        with self._lock:
            self._send(time.monotonic())

    def finish(self) -> None:
        """Send what was held back, and nothing more from now on."""
        with self._lock:
            self._send(float("inf"))
            self._over = True

    def _send(self, now: float) -> None:
        if self._waiting is not None and now - self._sent_at >= self._interval:
            message, self._waiting, self._sent_at = self._waiting, None, now
            self._link.send_bytes(message)


class Worker:
    """Serves jobs until it is told to stop, a job leaves it unfit, or the driver is gone."""

    def __init__(self, link: Connection, driver: int) -> None:
        self._link = link
        self._driver = driver
        self._interval = 0.0
        self._reporter: Reporter | None = None

    def serve(self) -> None:
        threading.Thread(target=self._upkeep, name="bench-upkeep", daemon=True).start()
        try:
            target = self._prepare(*pickle.loads(self._link.recv_bytes()))
            while target is not None and (payload := self._link.recv_bytes()):
                if self._run(target, payload):
                    return
        except (EOFError, ConnectionError):
            end_process_group()  # the driver has gone without a word

    def _prepare(self, sys_path: list[str], setup: str | None, target: str, interval: float) -> Target | None:
        """Import the target, after the setup has run; None, and the driver told why, where that fails."""
        self._interval = interval
        try:
            sys.path[:] = sys_path
            if setup is not None:
                find(setup)()
            found = find(target)
        except BaseException as exc:  # noqa: BLE001 - it is told to the driver, and this process ends
            self._link.send_bytes(pickle.dumps(("unfit", one_line(exc), text_of(exc))))
            return None
        self._link.send_bytes(pickle.dumps(("ready",)))
        return found

    def _run(self, target: Target, payload: bytes) -> bool:
        """Run one job and send how it ended; whether this process has to be replaced."""
        reporter = self._reporter = Reporter(self._link, self._interval)
        message, leaves = outcome(target, payload, reporter)
        self._reporter = None
        reporter.finish()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # a full disk under the log takes no result along
                stream.flush()  # so that this job's lines stand before the next job's in the log
        self._link.send_bytes(message)
        return leaves

    def _upkeep(self) -> None:
        # A killed driver cannot tell its workers, and the end of the socket shows only to a thread that reads
        # from it: a busy worker finds out by having got another parent.
        while os.getppid() == self._driver:
            time.sleep(UPKEEP_INTERVAL)
            reporter = self._reporter
            if reporter is not None:
                try:
                    reporter.catch_up()
                except ConnectionError:
                    break
        end_process_group()


def outcome(target: Target, payload: bytes, report: Report) -> tuple[bytes, bool]:
    """Call the target; the message that says how it ended, and whether this process has to be replaced.

    It has to when memory ran out, and when the job left a process behind: that one would take time and memory from
    the jobs that follow, so it is ended.
    """
    from bench.executors import Retire  # not before sys.path is the driver's

    step = "the payload cannot be unpickled: "
    before = children()
    try:
        argument = pickle.loads(payload)
        step = ""
        result = target(argument, report)
        step = "the result cannot be pickled: "
        leaves = end_children(before) or isinstance(result, Retire)
        return pickle.dumps(("done", result.result if isinstance(result, Retire) else result, leaves)), leaves
    except BaseException as exc:  # noqa: BLE001 - even sys.exit() in a target is the job's end, not the worker's
        # Frees what the target held in its local variables: telling of a lack of memory takes some as well.
        traceback.clear_frames(exc.__traceback__)
        status = "oom" if isinstance(exc, MemoryError) else "error"
        leaves = end_children(before) or status == "oom"
        return pickle.dumps(("lost", status, step + one_line(exc), text_of(exc), leaves)), leaves


def children() -> set[int]:
    """The ids of processes that this one started and that still run."""
    import psutil

    with suppress(psutil.Error):
        return {child.pid for child in psutil.Process().children() if _runs(child)}
    return set()


def end_children(but: set[int]) -> bool:
    """End what this process started, and what that started in turn, save the children given; whether any ran."""
    import psutil

    found = False
    with suppress(psutil.Error, MemoryError):
        for child in psutil.Process().children():
            if child.pid not in but and _runs(child):
                found = True
                for each in (*child.children(recursive=True), child):
                    with suppress(psutil.Error):
                        each.kill()
    return found


def _runs(process: psutil.Process) -> bool:
    import psutil

    with suppress(psutil.Error):  # it has just ended
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def find(name: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names."""
    module, _, attribute = name.partition(":")
    found: Callable[..., Any] = operator.attrgetter(attribute)(import_module(module))
    return found


def one_line(exc: BaseException) -> str:
    """``TypeName: message``, or the bare type name where there is no message."""
    # TracebackException survives an exception whose __str__ raises.
    message = " ".join(str(traceback.TracebackException.from_exception(exc)).split())
    return f"{type(exc).__name__}: {message}" if message else type(exc).__name__


def text_of(exc: BaseException) -> str:
    return "".join(traceback.format_exception(exc))


def end_process_group() -> None:
    """End this process and all that it started, at once; also what went into a session of its own."""
    end_children(set())
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    socket, driver = (int(argument) for argument in sys.argv[1:])
    sys.argv[1:] = []  # libraries that read the command line should find none
    os.set_inheritable(socket, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interrupt means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # A crash leaves its stack in the log, and so does a job that is ended because its time is up.
    faulthandler.enable()
    faulthandler.register(signal.SIGTERM, chain=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")  # a killed process flushes nothing
    Worker(Connection(socket), driver).serve()


if __name__ == "__main__":
    main()
