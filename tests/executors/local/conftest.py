"""Every test of the local executor: its targets are found, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(autouse=True)
def _targets_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No test may leave a process, a zombie or an open file behind."""
    me = psutil.Process()
    files = me.num_fds()
    yield
    assert me.children(recursive=True) == []
    assert me.num_fds() == files
