"""A plugin: methods that something real happens to on the way. TINY_CURED in the environment heals them."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from bench.plugins import Method, Recipe


class _Faulty(Method):
    paper = "none"

    def recipe(self, task: Any, config: Any) -> Recipe:
        return Recipe(learning_rate=1e-2, epochs=2, batch_size=4, chosen_by="nobody")

    def apply(self, model: Any, task: Any) -> Any:
        if "TINY_CURED" not in os.environ:
            self.misbehave(model)
        return model

    def misbehave(self, model: Any) -> None: ...


def in_third_step(model: Any, what: Callable[[], Any]) -> None:
    calls = []

    def hook(module: Any, inputs: Any, output: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            what()

    model.register_forward_hook(hook)


class Limited(_Faulty):
    name = "limited"
    summary = "its process may take 100 MB more, and wants a GB"

    def misbehave(self, model: Any) -> None:
        used = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
        in_third_step(model, lambda: torch.ones(250_000_000))


class Stuck(_Faulty):
    name = "stuck"
    summary = "never comes out of its third step"

    def misbehave(self, model: Any) -> None:
        in_third_step(model, lambda: time.sleep(600))


class Deletes(_Faulty):
    name = "deletes"
    summary = "the model's files vanish while it works"

    def misbehave(self, model: Any) -> None:
        folder = Path(os.environ["TINY_MODEL"])
        folder.rename(folder.with_name("away"))
