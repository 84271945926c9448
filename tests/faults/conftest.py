"""What the tests of faults share: a grid of quick cells, a small disk, and a limit on memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from quick_grid import QuickGrid


@pytest.fixture
def quick(tmp_path: Path) -> QuickGrid:
    return QuickGrid(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The root of a file system of 4 MiB; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A memory cgroup of 1 GiB below this process's own; skips where none can be made."""
    folder = _make_cgroup(2**30)
    if folder is None:
        pytest.skip("no memory cgroup can be made here")
    yield folder
    folder.rmdir()


def _make_cgroup(limit: int) -> Path | None:
    groups = Path("/proc/self/cgroup")
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):  # the one is version 2's
            folder = Path("/sys/fs/cgroup", controllers, path.lstrip("/"), f"bench-faults-{os.getpid()}")
            try:
                folder.mkdir()
                (folder / ("memory.limit_in_bytes" if controllers else "memory.max")).write_text(str(limit))
            except OSError:
                if folder.exists():
                    folder.rmdir()
            else:
                return folder
    return None
