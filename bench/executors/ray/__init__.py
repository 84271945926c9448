"""Runs jobs on the machines of a Ray cluster, or, without one, on this machine as if it were one.

Ray finds machines, keeps account of their CPUs, GPUs and memory, and tells when one is gone. It runs no job itself: an
actor (:class:`Host`) on a machine keeps one warm worker process, by the very code that :class:`LocalExecutor` has, and
passes its events on. So a job runs in the same process and environment wherever it runs; what it does to its process
(a crash, a lack of memory, its time being up) is told by the same events; and an actor that is gone was not taken down
by its job, but lost with its machine. That is what decides between `Retried` and `Lost`.

Here, and not with Ray, lies the queue: no more jobs are drawn than there is room for, however many there are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Self

from bench.executors import Event, Job
from bench.executors.ray.cluster import MIB, ClusterError, Here, Share, alive, connected, described
from bench.executors.ray.host import WORKERS_HERE, Kit, module_paths
from bench.executors.ray.scheduling import RETRIES, Run

__all__ = ["MIB", "RETRIES", "WORKERS_HERE", "ClusterError", "Here", "RayExecutor", "Share"]


class RayExecutor:
    """Calls ``target`` for each job in one of many worker processes on many machines.

    Used as a context it stays connected between runs; `run` by itself connects, and leaves.

    target, env, setup: as for :class:`bench.executors.local.LocalExecutor`. Modules must be there on each machine.
    share: what each worker takes.
    address: of a running cluster, as ``ray.init`` takes it; None starts Ray on this machine, and ends it.
    here: this machine's resources in the latter case; None: what Ray finds.
    log_dir: where what workers print goes, on machines that see this folder; elsewhere it stays among Ray's own logs.

    A job that takes its worker down is lost and not tried again. One whose machine is lost is begun again, on another
    or, once it is back, on the same; up to `RETRIES` times.

    Raises:
        UsageError: without Ray.
        ClusterError: on connecting, if there is no such cluster.
    """

    def __init__(
        self,
        target: str,
        share: Share,
        *,
        address: str | None = None,
        here: Here | None = None,
        log_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        setup: str | None = None,
    ) -> None:
        self._share = share
        self._address = address
        self._here = here
        self._kit = Kit(
            target,
            setup,
            log_dir and log_dir.absolute(),
            dict(env or {}),
            module_paths(),
            os.environ.get("OMP_NUM_THREADS"),
        )
        self._connection = contextlib.ExitStack()
        self._connected = False

    def __enter__(self) -> Self:
        self._connection.enter_context(connected(self._address, self._here))
        self._connected = True
        return self

    def __exit__(self, *error: object) -> None:
        self._connected = False
        self._connection.close()

    @property
    def workers(self) -> int:
        """How many workers the machines that there are now have room for. It needs the connection.

        Raises:
            ClusterError: if for none.
        """
        machines = alive()
        room = sum(self._share.room(resources) for resources in machines.values())
        if not room:
            found = "; ".join(described(resources) for resources in machines.values()) or "no machine at all"
            raise ClusterError(
                f"No machine of the Ray cluster has room: a worker takes {self._share}, "
                f"{self._share.most or 'any number'} on a machine; there is: {found}."
            )
        return room

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        """Run all jobs; see :class:`bench.executors.Executor`."""
        with contextlib.nullcontext() if self._connected else self:
            yield from Run(self._kit, self._share, iter(jobs)).events()
