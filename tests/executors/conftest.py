"""What the tests of the local executor share."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """The test leaves no process, no zombie and no open file behind."""
    me = psutil.Process()
    children, files = set(me.children()), me.num_fds()  # others (a browser, say) may live as long as the run
    yield
    assert set(me.children()) - children == set()
    assert me.num_fds() == files
