"""Every test of the local executor: its targets are found, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from local_runs import Children


@pytest.fixture(autouse=True)
def _targets_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


@pytest.fixture
def children() -> Children:
    """children(): this process's children that the test began. Others (a browser, say) may live as long as the run."""
    me = psutil.Process()
    before = set(me.children())
    return lambda: set(me.children()) - before


@pytest.fixture(autouse=True)
def _nothing_left(children: Children) -> Iterator[None]:
    """No test may leave a process, a zombie or an open file behind."""
    me = psutil.Process()
    files = me.num_fds()
    yield
    assert children() == set()
    assert me.num_fds() == files
