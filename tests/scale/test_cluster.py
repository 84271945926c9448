"""256 simulated workers, and whatever happens to them: every cell is finished once, and none is begun for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster import WORKERS, Chances, Driven, drive

from bench.records.store import Store


def accounted_for(found: Driven, folder: Path) -> None:
    """One finished record a cell and no other; no cell begun when it was finished, or at two places."""
    records, faults = Store(folder).all()
    assert faults == []
    assert {each.id for each in records} == {each.id for each in found.cells}
    assert {each.status for each in records} == {"ok"}
    assert found.cluster.doubled == set()
    assert set(found.cluster.written.values()) == {1}


@pytest.mark.slow
def test_where_nothing_fails_every_cell_is_begun_once(tmp_path: Path) -> None:
    found = drive(tmp_path, 3 * WORKERS, Chances())
    accounted_for(found, tmp_path)
    assert found.runs == 1
    assert set(found.cluster.begun.values()) == {1}
    # Nothing is known of how long cells take, so any order may be had: at most twice the best (Graham 1966).
    assert found.ideal <= found.cluster.clock <= 2 * found.ideal + 1


@pytest.mark.slow
def test_workers_nodes_and_drivers_that_die_lose_and_double_nothing(tmp_path: Path) -> None:
    chances = Chances(death=0.05, node_losses=12.0, slow_nodes=0.1)
    found = drive(tmp_path, 3 * WORKERS, chances, kill_driver_after=(600, 500))
    accounted_for(found, tmp_path)
    assert found.runs > 2  # the two that were killed, and one at least for what failed
    assert sum(found.cluster.begun.values()) > len(found.cells)
