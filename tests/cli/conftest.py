"""A grid that nothing trains in, and a results folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_grid
from made import failed, record
from tiny_grid import TinyGrid

from bench.records.store import Store


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    """The tiny grid, of which nothing here trains."""
    return tiny_grid.build(tmp_path_factory.mktemp("grid"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Records of two methods at two seeds, one of which failed."""
    store = Store(tmp_path / "results")
    for made in (record("a", 0, 0.5), record("a", 1, 0.7), record("b", 0, 0.25), failed("b", 1, "oom")):
        store.write(made)
    return store.root
