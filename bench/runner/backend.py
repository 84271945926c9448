"""What runs cells, and the environment of the workers. On a cluster: bench.runner.remote."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.executors import Executor
from bench.executors.local import LocalExecutor
from bench.measure import allocator
from bench.train.assignment import Assignment

TARGET, SETUP = "bench.train.worker:run", "bench.train.worker:warm_up"


@dataclass(frozen=True)
class Backend:
    """What runs cells. workers: how many at a time. payload: what the executor's target takes for an assignment."""

    executor: Executor
    workers: int
    payload: Callable[[Assignment], Any] = lambda assignment: assignment


def local_executor(workers: int, logs: Path | None = None) -> Executor:
    """Warm worker processes on this machine."""
    return LocalExecutor(TARGET, workers, logs, worker_environment(), SETUP)


def worker_environment() -> dict[str, str]:
    """What a worker's environment has in addition to this process's."""
    # The driver has fetched what a run needs: no worker should use the hub.
    env = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **waiting_threads()}
    if "GLIBC_TUNABLES" not in os.environ:
        env["GLIBC_TUNABLES"] = allocator.tunables()
    return env


def waiting_threads() -> dict[str, str]:
    """An environment, to be set before a process starts, in which threads wait for each other only briefly in a loop.

    GNU OpenMP's threads loop for long, which on a busy machine keeps the very thread that they wait for off its core.
    """
    return {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000")}
