"""The worker's side of the local executor, in a process of its own: it runs jobs until the driver ends it or is gone.

from the driver     bytes: a pickled payload         a job
                    nothing (zero bytes)             the end
to the driver       ("ready",)                       once, or
                    ("failed", reason)               once, before the worker ends
                    ("progress", data)
                    ("ended", message, unfit)        see bench.executors.calls.call; if unfit the worker ends
"""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from bench.executors.calls import call, end_children, find, one_line

DRIVER_CHECK_SECONDS = 0.5


def main(socket: int, driver: int, target: str, setup: str | None) -> None:
    """Serve the driver. socket: a file descriptor; driver: a process id; target, setup: ``package.module:function``."""
    os.set_inheritable(socket, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interrupt means
    # A crash leaves its stack in the log, and so does a job that is ended because it timed out.
    faulthandler.enable()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.register(signal.SIGTERM, chain=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")  # a killed process flushes nothing
    link = Connection(socket)
    threading.Thread(target=_end_with_driver, args=(driver,), name="bench-driver-check", daemon=True).start()
    with suppress(EOFError, ConnectionError):
        _serve(link, target, setup)
        return
    _end_process_group()  # the driver died


def _serve(link: Connection, target: str, setup: str | None) -> None:
    try:
        if setup is not None:
            find(setup)()
        function = find(target)
    except BaseException as exc:
        link.send(("failed", one_line(exc)))
        raise  # into the log
    link.send(("ready",))

    def report(data: dict[str, Any]) -> None:
        try:
            link.send(("progress", data))
        except ConnectionError:  # no exception that the job could catch, and record as its own
            _end_process_group()

    unfit = False
    while not unfit and (payload := link.recv_bytes()):
        message, unfit = call(function, payload, report)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # a full disk under the log must not lose the result
                stream.flush()  # so that this job's lines come before the next job's in the log
        link.send(("ended", message, unfit))


def _end_with_driver(driver: int) -> None:
    # A killed driver cannot tell its workers, and the end of the socket is seen only by a thread that reads
    # from it: a busy worker notices that it has another parent.
    while os.getppid() == driver:
        time.sleep(DRIVER_CHECK_SECONDS)
    _end_process_group()


def _end_process_group() -> None:
    """End this process and all that it started, at once, including what is in a session of its own."""
    end_children()
    os.killpg(0, signal.SIGKILL)
