"""A grid of quick cells, and real drivers and workers that run it; see quick_cells."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import quick_cells
import tiny_grid
from tiny_grid import TinyGrid


class QuickGrid:
    """Where all of it lies: the grid's files, and the faults that wait for a cell or have struck one."""

    def __init__(self, folder: Path) -> None:
        self.grid: TinyGrid = tiny_grid.build(folder)
        self.queue = folder / "queue"
        self.waiting, self.struck = self.queue / "waiting", self.queue / "struck"
        for each in (self.waiting, self.struck):
            each.mkdir(parents=True)
        self._queued = 0

    def add(self, faults: Iterable[tuple[str, str]]) -> None:
        """Have the next cells suffer these: a kind, and the phase in which it strikes."""
        for kind, phase in faults:
            text = json.dumps({"kind": kind, "phase": phase})
            (self.waiting / f"{self._queued:04}").write_text(text, encoding="utf-8")
            self._queued += 1

    def suffered(self) -> list[tuple[str, str, str]]:
        """Kind, phase and cell of each fault that has struck since last time, in the order in which they were added."""
        found = []
        for path in sorted(self.struck.glob("*.json")):
            fault = json.loads(path.read_text(encoding="utf-8"))
            found.append((fault["kind"], fault["phase"], path.name.split(".")[1]))
            path.rename(path.with_suffix(".told"))
        return found

    def lines(self, name: str) -> list[str]:
        """What cells have taken down: the ids of those `computed`, the processes that were `children`."""
        path = self.queue / name
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    def start(
        self,
        results: Path,
        *more: object,
        methods: str = "steady,steady[width=2],chatty",
        first: Callable[[], object] | None = None,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """`python -m bench run` in a process and session of its own; first: what that process does before all else."""
        arguments = [*self.grid.options(results), "--methods", methods, *map(str, more)]
        environment |= {quick_cells.FOLDER: str(self.queue)}
        return self.grid.start("run", *arguments, program=(quick_cells.__file__,), first=first, **environment)

    def run(self, results: Path, *more: object, **options: object) -> subprocess.CompletedProcess[str]:
        """The same to its end."""
        with tiny_grid.ending(self.start(results, *more, **options)) as driver:  # type: ignore[arg-type]
            out, err = driver.communicate(timeout=300)
        return subprocess.CompletedProcess(driver.args, driver.returncode, out, err)
