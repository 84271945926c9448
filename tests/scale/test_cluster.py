"""256 simulated workers, and whatever happens to them: every cell is finished once, and none starts for nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cluster import WORKERS, Cluster, drive, grid

from bench.records.store import Store

CELLS = grid(3 * WORKERS)


def cluster(folder: Path, **chances: float) -> Cluster:
    chance = random.Random(0)
    return Cluster(Store(folder), {id: 60 * chance.lognormvariate(2.0, 1.0) for id in CELLS}, **chances)


def assert_accounted_for(found: Cluster) -> None:
    """One finished record a cell and no other; no cell started when it was finished, or at two places."""
    records, faults = found.store.all()
    assert faults == []
    assert {each.id for each in records} == set(CELLS)
    assert {each.status for each in records} == {"ok"}
    assert found.doubled == set()
    assert set(found.written.values()) == {1}


@pytest.mark.slow
def test_where_nothing_fails_every_cell_starts_once(tmp_path: Path) -> None:
    found = cluster(tmp_path)
    assert drive(found, CELLS) == 1
    assert_accounted_for(found)
    assert set(found.started.values()) == {1}
    # Nothing is known of how long cells take, so any order is possible: at most twice the best (Graham 1966).
    best = max(sum(found.seconds.values()) / WORKERS, *found.seconds.values())
    assert best <= found.clock <= 2 * best + 1


@pytest.mark.slow
def test_workers_machines_and_drivers_that_die_lose_and_double_nothing(tmp_path: Path) -> None:
    found = cluster(tmp_path, deaths=0.05, machine_losses=12.0)
    assert drive(found, CELLS, kill_driver_after=(600, 500)) > 2  # those that were killed, and one for what failed
    assert_accounted_for(found)
    assert sum(found.started.values()) > len(CELLS)
    assert any(each.retries for each in found.store.all()[0])
