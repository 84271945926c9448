"""Methods that suffer something real on the way, each where it is told to; TINY_CURED in the environment heals them."""

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

from bench.method import Method, Params, Recipe
from bench.store import Store

HOARD: list[Any] = []


class _Faulty(Method):
    paper = "none"

    def recipe(self, task: Any, config: Any) -> Recipe:
        return Recipe(learning_rate=1e-2, epochs=2, batch_size=4, chosen_by="nobody")

    def apply(self, model: Any, task: Any) -> Any:
        if "TINY_CURED" not in os.environ:
            self.misbehave(model)
        return model

    def misbehave(self, model: Any) -> None: ...


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(model: Any, number: int, training: bool, what: Callable[[Any], None]) -> None:
    """Do something to the output of a call of the model, counted from 1 among those in training, or not."""
    calls = []

    def hook(module: Any, inputs: Any, output: Any) -> None:
        if module.training == training:
            calls.append(1)
            if len(calls) >= number:
                what(output)

    model.register_forward_hook(hook)


class KilledParams(Params):
    at: str = "load"


class Killed(_Faulty):
    """The phases of a cell that a method can be in, and the two moments after them."""

    name = "killed"
    summary = "its worker is killed"
    Params = KilledParams

    def misbehave(self, model: Any) -> None:
        match self.params.at:
            case "load":
                kill()
            case "train":
                at_call(model, 3, True, lambda output: kill())
            case "validate":
                at_call(model, 1, False, lambda output: kill())
            case "test":
                at_call(model, 3, False, lambda output: kill())

    def save(self, module: Any, folder: Path) -> None:
        super().save(module, folder)
        if "TINY_CURED" in os.environ:
            return
        match self.params.at:
            case "save":
                kill()
            case "write":
                os.fsync = lambda handle: kill()  # the temporary file is there, and has no name yet
            case "deliver":
                write = Store.write
                Store.write = lambda store, record: (write(store, record), kill())  # type: ignore[method-assign]


class Overflows(_Faulty):
    name = "overflows"
    summary = "trains well, and answers NaN"

    def misbehave(self, model: Any) -> None:
        at_call(model, 1, False, lambda output: output.logits.fill_(float("nan")))


class Forks(_Faulty):
    name = "forks"
    summary = "leaves processes behind"

    def misbehave(self, model: Any) -> None:
        started = [subprocess.Popen(["sleep", "600"], start_new_session=new).pid for new in (False, True)]
        Path(os.environ["TINY_MARK"]).write_text(" ".join(map(str, started)), encoding="utf-8")


class Follows(_Faulty):
    name = "follows"
    summary = "fails where a process of the cell before it still runs"

    def misbehave(self, model: Any) -> None:
        for pid in Path(os.environ["TINY_MARK"]).read_text(encoding="utf-8").split():
            if psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
                raise RuntimeError(f"process {pid} still runs")


class Prints(_Faulty):
    name = "prints"
    summary = "prints 100 MB"

    def misbehave(self, model: Any) -> None:
        for _ in range(100):
            sys.stdout.write("x" * 1_000_000 + "\n")


class Leaks(_Faulty):
    name = "leaks"
    summary = "keeps 200 MB a cell"

    def misbehave(self, model: Any) -> None:
        HOARD.append(bytearray(os.urandom(1) * 200_000_000))


class Hoards(_Faulty):
    name = "hoards"
    summary = "takes memory until there is no more"

    def misbehave(self, model: Any) -> None:
        while True:
            HOARD.append(bytearray(os.urandom(1) * 100_000_000))
            time.sleep(0.01)


class LimitedParams(Params):
    by: str = "torch"


class Limited(_Faulty):
    name = "limited"
    summary = "its process may take 100 MB more, and wants a GB"
    Params = LimitedParams

    def misbehave(self, model: Any) -> None:
        import torch

        used = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
        at_call(model, 2, True, lambda output: self.want(torch))

    def want(self, torch: Any) -> None:
        HOARD.append(torch.ones(250_000_000) if self.params.by == "torch" else bytearray(1_000_000_000))


class StuckParams(Params):
    in_c: bool = False


class Stuck(_Faulty):
    name = "stuck"
    summary = "waits for ever"
    Params = StuckParams

    def misbehave(self, model: Any) -> None:
        if self.params.in_c:
            ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock: no other thread of the process runs
        time.sleep(600)


class JumpsParams(Params):
    hours: int = 1


class Jumps(_Faulty):
    name = "jumps"
    summary = "the clock of its worker is set"
    Params = JumpsParams

    def misbehave(self, model: Any) -> None:
        from datetime import UTC, datetime, timedelta

        from bench import cell

        shift, real = timedelta(hours=self.params.hours), time.time
        time.time = lambda: real() + shift.total_seconds()
        cell.now = lambda: (datetime.now(UTC) + shift).isoformat(timespec="milliseconds")


class Deletes(_Faulty):
    name = "deletes"
    summary = "the model's files vanish while it works"

    def misbehave(self, model: Any) -> None:
        folder = Path(os.environ["TINY_MODEL"])
        folder.rename(folder.with_name("away"))


class Once(_Faulty):
    name = "once"
    summary = "notes that it is computed; the first time it is stuck"

    def misbehave(self, model: Any) -> None:
        mark = Path(os.environ["TINY_MARK"])
        first = not mark.exists()
        with mark.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if first and "TINY_STUCK" in os.environ:
            time.sleep(600)


class OnceMore(Once):
    name = "once_more"
