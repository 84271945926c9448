"""Methods that suffer something real on the way, each where it is told to; TINY_CURED in the environment heals them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from bench.plugins.method import Method
from bench.plugins.recipe import Recipe


class _Faulty(Method):
    paper = "none"

    def recipe(self, task: Any, config: Any) -> Recipe:
        return Recipe(learning_rate=1e-2, epochs=2, batch_size=4, chosen_by="nobody")

    def apply(self, model: Any, task: Any) -> Any:
        if "TINY_CURED" not in os.environ:
            self.misbehave(model)
        return model

    def misbehave(self, model: Any) -> None: ...


def at_call(model: Any, number: int, training: bool, what: Callable[[Any], None]) -> None:
    """Do something to the output of a call of the model, counted from 1 among those in training, or not."""
    calls = []

    def hook(module: Any, inputs: Any, output: Any) -> None:
        if module.training == training:
            calls.append(1)
            if len(calls) >= number:
                what(output)

    model.register_forward_hook(hook)


class Killed(_Faulty):
    name = "killed"
    summary = "its worker is killed in its third step"

    def misbehave(self, model: Any) -> None:
        at_call(model, 3, True, lambda output: os.kill(os.getpid(), signal.SIGKILL))


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


class Limited(_Faulty):
    name = "limited"
    summary = "its process may take 100 MB more, and wants a GB"

    def misbehave(self, model: Any) -> None:
        import torch

        used = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
        at_call(model, 2, True, lambda output: torch.ones(250_000_000))


class Stuck(_Faulty):
    name = "stuck"
    summary = "never comes out of its third step"

    def misbehave(self, model: Any) -> None:
        at_call(model, 3, True, lambda output: time.sleep(600))


class Deletes(_Faulty):
    name = "deletes"
    summary = "the model's files vanish while it works"

    def misbehave(self, model: Any) -> None:
        folder = Path(os.environ["TINY_MODEL"])
        folder.rename(folder.with_name("away"))
