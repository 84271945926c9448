"""A process of its own for each contender, set up as its users would have it.

In one process they would share an allocator: this project's workers are started with one that keeps freed memory
(`bench.measure.allocator`), a script with the Trainer in it is not.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from types import TracebackType
from typing import Self

from bench.runner.run import worker_environment
from bench.speed.catalogue import CONTENDERS
from bench.speed.contender import Contender, Run, run
from bench.speed.setting import Files, Setting
from bench.train.data import Encoded


@dataclass(frozen=True)
class Drawn:
    """Which examples: so many of the training split by a seed, and of those the first few; None: all of them."""

    examples: int
    seed: int
    first: int | None = None


class Booth:
    """One contender in one process, kept from round to round; it waits for its turn without computing.

    threads: of torch, for each the same.
    """

    def __init__(self, files: Files, name: str, threads: int) -> None:
        self._files, self._name = files, name
        self._process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        # Loading is begun at once, so that no turn begins with it; the process takes its environment over just now.
        with _environment(worker_environment() if CONTENDERS[name].ours else {}):
            self._ready: Future[None] = self._process.submit(_set_up, files, name, threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.shutdown(cancel_futures=True)

    def ready(self) -> None:
        """Wait until it is loaded. Raises what loading raised."""
        self._ready.result()

    def run(self, drawn: Drawn, epochs: float = 1) -> Run:
        """One training call on these examples."""
        self.ready()
        return self._process.submit(_run, self._files, self._name, drawn, epochs).result()

    def growth_mib(self, drawn: Drawn) -> float | None:
        """The peak resident size of one epoch over that at its start, in MiB; None where it cannot be known.

        Only of a booth that has run nothing: what an earlier training left in the allocator would hide what this takes.
        """
        self.ready()
        return self._process.submit(_growth_mib, self._files, self._name, drawn).result()


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _set_up(files: Files, name: str, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    _contender(files, name)


def _run(files: Files, name: str, drawn: Drawn, epochs: float) -> Run:
    from bench.measure.memory import return_freed_memory

    entry = CONTENDERS[name]
    recipe = _setting(files).recipe(entry.method, epochs, entry.dropout)
    done = run(_contender(files, name), _data(files, drawn), recipe, drawn.seed)
    return_freed_memory()  # while others have their turns
    return done


def _growth_mib(files: Files, name: str, drawn: Drawn) -> float | None:
    from bench.measure.memory import MemoryWindow

    entry = CONTENDERS[name]
    recipe = _setting(files).recipe(entry.method, 1, entry.dropout)
    call = _contender(files, name).prepare(_data(files, drawn), recipe, drawn.seed)
    with MemoryWindow("cpu") as window:
        call()
    return window.growth_mib


@cache
def _setting(files: Files) -> Setting:
    return Setting(files)


@cache
def _contender(files: Files, name: str) -> Contender:
    return CONTENDERS[name].make(_setting(files), 0)


@lru_cache(maxsize=2)
def _data(files: Files, drawn: Drawn) -> Encoded:
    data = _setting(files).sample(drawn.examples, drawn.seed)
    return data if drawn.first is None else data.part(range(drawn.first))
