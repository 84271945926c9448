"""The actor that keeps a worker process on a machine of a cluster, and how the driver tells it to start one."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.executors import Finished, Job, Lost
from bench.executors.local import LocalExecutor

PROGRESS_INTERVAL = 1.0
"""Seconds between two reports of a job's progress, at the least: hundreds of workers report to one driver."""

WORKERS_HERE = "BENCH_WORKERS_HERE"
"""The environment variable that tells a target how many workers may run on its machine at a time."""

RAYS_OWN_PATHS = ("/ray/thirdparty_files", "/ray/_private/workers")


@dataclass(frozen=True)
class Kit:
    """How to start a worker on another machine. paths: of modules. omp_num_threads: of the driver's environment."""

    target: str
    setup: str | None
    log_dir: Path | None
    env: dict[str, str]
    paths: list[str]
    omp_num_threads: str | None


class Host:
    """The actor: one worker process on its machine, and how it is getting on.

    Args:
        number: the worker's.
        beside: how many workers the machine may have at a time, this one included.
        groups: how many groups of workers share its cores, one for each GPU. A group's workers keep to its cores.
    """

    def __init__(self, kit: Kit, number: int, beside: int, groups: int) -> None:
        sys.path[:] = list(dict.fromkeys([*(path for path in kit.paths if Path(path).exists()), *module_paths()]))
        # Ray sets it to the CPUs that the actor takes. A worker here must not differ from one on the driver's machine.
        os.environ.pop("OMP_NUM_THREADS", None)
        if kit.omp_num_threads is not None:
            os.environ["OMP_NUM_THREADS"] = kit.omp_num_threads
        _keep_to_group(groups)
        self._jobs: deque[Job] = deque()
        log_dir = kit.log_dir if kit.log_dir is not None and kit.log_dir.is_dir() else _ray_logs()
        self._events = LocalExecutor(
            kit.target,
            1,
            log_dir,
            kit.env | {WORKERS_HERE: str(beside)},
            kit.setup,
            first=number,
            progress_interval=PROGRESS_INTERVAL,
        ).run(iter(self._next, None))

    def up(self) -> bool:
        """Answers once the actor is there."""
        return True

    def run(self, key: str, payload: bytes, timeout: float | None) -> Generator[bytes, None, None]:
        """Run one job; its events, pickled, the last of which is a `Finished` or a `Lost`."""
        self._jobs.append(Job(key, _Pickled(payload), timeout))
        for event in self._events:
            yield pickle.dumps(event)
            if isinstance(event, Finished | Lost):
                return

    def end(self) -> bool:
        """End the worker and all that it started, whatever it is doing. (`run` is in another thread, and waits.)"""
        for worker in psutil.Process().children():
            with contextlib.suppress(OSError):
                os.killpg(worker.pid, signal.SIGKILL)  # each leads a group of its own
        return True

    def _next(self) -> Job | None:
        # The executor draws a job only when `run` goes on with its events, and `run` has just brought one then.
        return self._jobs.popleft() if self._jobs else None


class _Pickled:
    """A pickled object that becomes the object itself when it is pickled and unpickled again.

    So the host hands a payload on without unpickling it, for which it would need torch, and more.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._content,)


def module_paths() -> list[str]:
    """Where modules are found, without the folders that Ray adds for itself, with its own copies of libraries."""
    return [path or str(Path.cwd()) for path in sys.path if not path.endswith(RAYS_OWN_PATHS)]


def _keep_to_group(groups: int) -> None:
    """Keep this process, and what it starts, to the cores that belong to its GPU."""
    if groups > 1 and hasattr(os, "sched_setaffinity"):
        import ray

        cores = sorted(os.sched_getaffinity(0))
        group = int(ray.get_gpu_ids()[0]) % groups
        own = cores[group * len(cores) // groups : (group + 1) * len(cores) // groups]
        os.sched_setaffinity(0, own or cores)


def _ray_logs() -> Path:
    """Ray's own folder for logs on this machine."""
    from ray._private.worker import global_worker

    with contextlib.suppress(AttributeError):
        return Path(global_worker.node.get_logs_dir_path())
    return Path(tempfile.gettempdir())
