"""A Ray cluster, or a Ray that is started on this machine: connecting to it, and the room that its machines have."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray

from bench.errors import BenchError, UsageError

CONNECT_LIMIT = 10.0  # seconds that a cluster has to answer at its address
MIB = 2**20
OBJECT_STORE_BYTES = 128 * MIB  # results are small, and Ray would reserve a third of the memory
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what takes no GPU sees the GPUs as any process does
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of workers that were ended
}
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL", "include_dashboard": False}


class ClusterError(BenchError):
    """A Ray cluster that cannot be reached, has no room, or cannot start a worker."""


@dataclass(frozen=True)
class Share:
    """What one worker takes of its machine: CPUs, GPUs (a part of one will do) and bytes of memory.

    most: how many workers run on a machine at a time; one with room for fewer is not used. None: as many as fit.
    """

    cpus: float
    gpus: float = 0.0
    memory: int = 0
    most: int | None = None

    def room(self, resources: Mapping[str, float]) -> int:
        """How many workers a machine with these resources, by Ray's names, can take."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}
        # 1e-3: a third of a GPU three times is one, in floating point, too.
        least = min((int(resources.get(name, 0.0) / need + 1e-3) for name, need in needs.items() if need), default=1)
        return least if self.most is None else self.most if least >= self.most else 0


@contextlib.contextmanager
def connected(address: str | None, here: Mapping[str, int]) -> Iterator[None]:
    """Connected to a cluster, or to a Ray that is started on this machine and ends with the context.

    address: as ``ray.init`` takes it; None starts Ray here. here: this machine's resources for that, as its arguments.

    Raises:
        BenchError: if there is no such cluster.
    """
    if ray.is_initialized():  # by the notebook that runs this, which ends it
        yield
        return
    os.environ |= ENVIRONMENT | os.environ
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address is None:
            ray.init("local", **QUIET, object_store_memory=OBJECT_STORE_BYTES, **here)
        else:
            _require_listener(address)
            ray.init(address, **QUIET)
    except (ConnectionError, RuntimeError, ValueError, OSError, OverflowError) as error:
        what = "Ray cannot be started here" if address is None else f"There is no Ray cluster at {address}"
        raise ClusterError(f"{what}: {last_line(error)}.") from None
    finally:
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, before)  # Ray has replaced it
    # Ray prints news of its machines on standard output all the same; here they are events.
    ray._private.worker._worker_logs_enabled = False
    try:
        yield
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Fail if nothing listens at HOST:PORT: Ray itself would try for minutes."""
    if address.startswith("ray://"):
        raise UsageError(
            f"{address}: give the address of the cluster itself (HOST:6379, or auto), on one of its machines; "
            "Ray's client connection cannot carry a run."
        )
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_LIMIT).close()


def alive() -> dict[str, dict[str, float]]:
    """The resources of each machine that is alive, by Ray's id of it."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def room_for(share: Share) -> int:
    """How many workers the machines have room for now.

    Raises:
        ClusterError: if for none.
    """
    if room := sum(share.room(resources) for resources in alive().values()):
        return room
    raise ClusterError(
        f"No machine of the Ray cluster has room for a worker, which takes {share.cpus:g} CPUs, {share.gpus:g} GPUs "
        f"and {share.memory / MIB:,.0f} MiB; `ray status` shows what there is."
    )


def last_line(error: BaseException) -> str:
    """Of a traceback in a message the last line says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300].rstrip(".")
