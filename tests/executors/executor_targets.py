"""Targets for the tests of the executors, which workers import, too; and a few helpers."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from bench.executors import Job, Report, Retire

TARGET = f"{__name__}:run"
setup_was_called_before_import = os.environ.get("EXECUTOR_TEST_SETUP") == "called"


def job(key: str, *payload: Any, timeout: float | None = None) -> Job:
    return Job(key, payload, timeout)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def gone(pid: int) -> bool:
    """Whether the process has ended; an orphan's zombie waits for init and counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def prepare_badly() -> None:
    raise LookupError("no such setup")


def die_badly() -> None:
    os._exit(9)


def fail_first_start() -> None:
    """Dies in the first process that is started, and in no other."""
    flag = Path(os.environ["EXECUTOR_TEST_FLAG"])
    if not flag.exists():
        flag.touch()
        os._exit(1)


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("not this one")


class NotOnTheOtherSide:
    """Can be pickled; unpickling it fails where `allowed` is not the process id."""

    def __reduce__(self) -> Any:
        return only_in, (os.getpid(),)


def only_in(pid: int) -> str:
    if pid != os.getpid():
        raise ImportError("made elsewhere")
    return "made here"


def run(payload: Any, report: Report) -> Any:
    """Do what the payload says: the name of a function below, and its arguments."""
    name, *arguments = payload
    return globals()[name](report, *arguments)


def echo(report: Report, value: Any) -> Any:
    return value


def pid(report: Report) -> int:
    return os.getpid()


def facts(report: Report) -> dict[str, Any]:
    return {
        "setup": setup_was_called_before_import,
        "env": os.environ.get("EXECUTOR_TEST_ENV"),
        "argv": len(sys.argv),
        "path": sys.path,
        "torch": "torch" in sys.modules,
        "main": getattr(sys.modules["__main__"], "__file__", None),
    }


def variable(report: Report, name: str) -> str | None:
    return os.environ.get(name)


def sleep(report: Report, seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def meet(report: Report, folder: Path, number: int) -> bool:
    """Whether the other of two jobs ran at the same time."""
    (folder / str(number)).touch()
    end = time.monotonic() + 10
    while not (folder / str(1 - number)).exists() and time.monotonic() < end:
        time.sleep(0.01)
    return (folder / str(1 - number)).exists()


def meet_and_exit(report: Report, folder: Path, number: int) -> None:
    meet(report, folder, number)
    os._exit(1)


def report_and_sleep(report: Report, count: int, seconds: float) -> str:
    data = {"step": -1}
    for step in range(count):
        data["step"] = step
        report(data)
    time.sleep(seconds)
    return "done"


def fail(report: Report, message: str) -> None:
    report({"step": 3})
    raise ValueError(message)


def leave(report: Report) -> None:
    sys.exit("enough")


def exit_now(report: Report, code: int) -> None:
    print("last words")
    os._exit(code)


def signal_self(report: Report, number: int) -> None:
    report({"step": 7})
    os.kill(os.getpid(), number)
    time.sleep(60)


def segfault(report: Report) -> None:
    ctypes.string_at(0)


def sleep_and_ignore_sigterm(report: Report) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


def busy_in_c_with_gil(report: Report) -> None:
    # PyDLL keeps the GIL: no other thread of this process runs until the call has returned.
    ctypes.PyDLL(None).sleep(30)


def raise_memory_error(report: Report) -> None:
    raise MemoryError


def exhaust_memory(report: Report) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))
    hoard = []
    size = 2**20
    while True:  # down to the last bytes, so that telling of it is hard as well
        try:
            while True:
                hoard.append(bytearray(size))
        except MemoryError:
            if size == 1:
                raise
            size //= 2


def retire(report: Report) -> Retire:
    return Retire(os.getpid())


def talk(report: Report, text: str) -> None:
    print(text, "by print")
    print(text, "to stderr", file=sys.stderr)
    os.write(1, f"{text} by the file descriptor\n".encode())
    subprocess.run(["echo", text, "by a child"], check=True)


def talk_and_fail_hard(report: Report, text: str) -> None:
    print("x" * 5000)
    print(text)
    os._exit(1)


def big(report: Report, data: bytes) -> bytes:
    return data + data


def unpicklable(report: Report) -> Any:
    return Unpicklable()


def not_on_the_other_side(report: Report) -> Any:
    return NotOnTheOtherSide()


def with_children(report: Report, ending: str) -> None:
    """Fork a process, which holds the worker's socket, and start another; then end as asked."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    other = subprocess.Popen(["sleep", "60"])
    report({"children": [child, other.pid]})
    if ending == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def leave_children(report: Report) -> list[int]:
    """This process and two that it leaves running, one of them in a session of its own."""
    return [os.getpid(), *(subprocess.Popen(["sleep", "60"], start_new_session=new).pid for new in (False, True))]


def hang_with_a_child_in_a_session_of_its_own(report: Report) -> None:
    report({"child": subprocess.Popen(["sleep", "60"], start_new_session=True).pid})
    time.sleep(60)
