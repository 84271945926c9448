"""What a target is, and what targets have in common."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import BenchError


@dataclass(frozen=True)
class Target:
    """A name, what is done with bytes, and bytes to begin with. check raises BenchError for bad input."""

    name: str
    check: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]

    def run(self, data: bytes) -> bool:
        """Whether the input was accepted. Raises whatever is a finding."""
        try:
            self.check(data)
        except BenchError as error:
            # Building and encoding the one-line message must not fail either.
            from bench.sanitize import one_line

            one_line(str(error)).encode()
            return False
        return True


@cache
def scratch() -> Path:
    """A folder in memory, where there is one: targets write a file for each input."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="bench-fuzz-", dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextlib.contextmanager
def file_of(name: str, data: bytes) -> Iterator[Path]:
    """A file of this content, alone in a folder."""
    folder = scratch() / "one"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / name
    path.write_bytes(data)
    yield path


def text_of(data: bytes) -> str:
    """As the command line gets it: what is no UTF-8 comes as half characters."""
    return data.decode("utf-8", "surrogateescape")


def cell_with(recipe: dict[str, Any]) -> Any:
    """A cell with these settings of its recipe."""
    from bench.grid.cell import Cell
    from bench.grid.suites import Budget
    from bench.profiles import load

    return Cell(
        method="head", params={"r": 4, "names": ["a", "b"]}, variant="", task="sms-spam", task_source="./sms.csv",
        task_revision="tree-sha256:aa", model="minilm-l6", model_source="./minilm", model_revision="tree-sha256:bb",
        profile=load("cpu-2core"), preset="quick", budget=Budget(train_examples=100), recipe=recipe, seed=0,
        code="0123456789abcdef",
    )  # fmt: skip


@cache
def known_methods() -> Any:
    from bench.plugins import registry

    return registry.methods()
