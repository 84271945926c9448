"""A Ray cluster as it is found, or one that is started on this machine: connecting, and which machines there are."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError, UsageError

KNOCK_LIMIT = 10.0
"""Seconds that a cluster has to answer at its address."""

MIB = 2**20
OBJECT_STORE_BYTES = 128 * MIB  # results are small, and Ray would set a third of the memory aside


class ClusterError(BenchError):
    """A Ray cluster that cannot be reached, or has no room."""


@dataclass(frozen=True)
class Share:
    """What one worker takes of its machine: CPUs, GPUs (a part of one will do) and bytes of memory.

    most: how many workers run on a machine at a time; one with room for fewer is left alone. None: as many as fit.
    """

    cpus: float
    gpus: float = 0.0
    memory: int = 0
    most: int | None = None

    def room(self, resources: Mapping[str, float]) -> int:
        """How many workers a machine with these resources, by Ray's names, can take."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}
        # A third of a GPU three times is one, in floating point, too.
        fits = [int(resources.get(name, 0.0) / need + 1e-3) for name, need in needs.items() if need]
        least = min(fits, default=1)
        return least if self.most is None else self.most if least >= self.most else 0

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPUs", f"{self.gpus:g} GPUs" if self.gpus else "", f"{self.memory // MIB:,} MiB"]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Here:
    """The resources of this machine, for a Ray that is started on it: CPUs, GPUs, bytes of memory."""

    cpus: int
    gpus: int
    memory: int


@contextlib.contextmanager
def connected(address: str | None, here: Here | None) -> Iterator[None]:
    """Connected to a cluster, or to a Ray of this machine's own, which ends with the context."""
    # Set before Ray is imported: nothing is reported to its makers, and what it starts computes with full priority
    # and, where it takes no GPU, sees the GPUs as any process does.
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_kill_child_processes_on_worker_exit": "0",  # they end themselves, and with them what they started
        "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # those of hosts that nobody listens to any more
    }.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UsageError("Ray is not installed: pip install 'pasta-bench[ray]'.") from None
    if ray.is_initialized():  # by the notebook that runs this: it is not ours to end
        yield
        return
    if address is not None and address.startswith("ray://"):
        raise UsageError(
            f"{address}: give the address of the cluster itself (HOST:6379, or auto), on one of its machines; "
            "Ray's client connection cannot carry a run."
        )
    if address is not None:
        _knock(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL", "include_dashboard": False}
    if address is None:
        quiet |= {"object_store_memory": OBJECT_STORE_BYTES}
        if here is not None:
            quiet |= {"num_cpus": here.cpus, "num_gpus": here.gpus, "_memory": here.memory}
    try:
        with _own_signals():
            ray.init(address or "local", **quiet)
            # Ray prints what befalls its machines on standard output, whatever it is told above; events say it.
            ray._private.worker._worker_logs_enabled = False
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        what = "Ray cannot be started here" if address is None else f"There is no Ray cluster to be had at {address}"
        raise ClusterError(f"{what}: {one_line(error)}") from None
    try:
        yield
    finally:
        with _own_signals():
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise a ClusterError if nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=KNOCK_LIMIT).close()
        except (OSError, OverflowError) as error:
            raise ClusterError(f"There is no Ray cluster to be had at {address}: {one_line(error)}.") from None


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's answer to SIGTERM, in whose place Ray puts its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def alive() -> dict[str, dict[str, float]]:
    """The resources of each machine that is alive, by Ray's id of it."""
    import ray

    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def described(resources: Mapping[str, float]) -> str:
    gpus = f", {resources['GPU']:g} GPUs" if resources.get("GPU") else ""
    return f"{resources.get('CPU', 0):g} CPUs{gpus}, {resources.get('memory', 0) / MIB:,.0f} MiB"


def one_line(error: BaseException) -> str:
    lines: Sequence[str] = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    # Of a traceback in a message the last line says what was wrong.
    return (lines[-1] if lines else type(error).__name__)[:300]
