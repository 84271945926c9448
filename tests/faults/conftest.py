"""What the tests of faults share: a grid of tiny cells with methods that suffer, and a small disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_grid
from tiny_grid import TinyGrid

FAULTY = Path(__file__).with_name("faulty_methods.py")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    """A tiny grid, whose runs know the faulty methods, too."""
    made = tiny_grid.build(tmp_path_factory.mktemp("tiny"))
    with (made.folder / "tiny_methods.py").open("a", encoding="utf-8") as file:
        file.write(FAULTY.read_text(encoding="utf-8").replace("from __future__ import annotations\n", ""))
    return made


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The empty root of a file system of 4 MiB; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
