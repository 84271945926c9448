"""A Ray cluster of several machines that are all this one, and how one of them is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

HEALTH_CHECKS = {  # a lost machine is noticed within seconds, where Ray as it comes may take a minute
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 3,
}


class Machines:
    """A cluster whose head computes nothing, with `count` machines of one CPU each."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": HEALTH_CHECKS}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes: list[Any] = []
        self.add(count)

    @property
    def address(self) -> str:
        return self._cluster.address

    def add(self, count: int = 1, **resources: Any) -> list[Any]:
        added = [self._cluster.add_node(**{"num_cpus": 1, **resources}) for _ in range(count)]
        self._nodes += added
        return added

    def lose(self, node: Any) -> None:
        """Take a machine away, all at once."""
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def lose_that_of(self, pid: int) -> None:
        """Take the machine away that a process runs on."""
        above = {process.pid for process in psutil.Process(pid).parents()}
        self.lose(next(node for node in self._nodes if node.all_processes["raylet"][0].process.pid in above))

    def lose_all(self) -> None:
        for node in list(self._nodes):
            self.lose(node)

    def shutdown(self) -> None:
        self._cluster.shutdown()


@contextmanager
def machines(count: int) -> Iterator[Machines]:
    """A cluster for as long as the context lasts; the test skips where Ray is not installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'pasta-bench[ray]'")
    made = Machines(count)
    try:
        yield made
    finally:
        made.shutdown()


def wait_until(true: Any, what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.1)
