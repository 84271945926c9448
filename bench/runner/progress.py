"""How a running grid is shown on standard error: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from bench.forecast.seconds import Estimator, Like, duration
from bench.grid.cell import Cell
from bench.records.record import Record
from bench.sanitize import one_line

SIGN_OF_LIFE_SECONDS = 60.0  # how often a running cell is mentioned in a log


def title(cell: Cell) -> str:
    return f"{cell.label}, seed {cell.seed}"


def outcome_line(record: Record) -> str:
    """One line on one ended cell; its reason is an exception's text, which must not command the terminal."""
    if record.status != "ok":
        at = f" at step {record.last_step}" if record.last_step else ""
        return one_line(f"{title(record.cell)}: {record.status}{at}: {record.reason}")
    score = "undefined" if record.score is None else f"{record.score:.4f}"
    return one_line(f"{title(record.cell)}: {record.metric} {score} ({duration(record.timeline.get('total'))})")


class GridDisplay(AbstractContextManager["GridDisplay"]):
    """Cells done and running, and the time left.

    On a terminal a line for each cell that has ended, and the running ones redrawn in place; elsewhere the lines alone,
    and a sign of life now and then.
    """

    def __init__(self, pending: Sequence[Cell], workers: int, estimator: Estimator, console: Console) -> None:
        self._console, self._estimator, self._workers = console, estimator, workers
        self._total, self._done, self._failed = len(pending), 0, 0
        self._waiting = Counter(map(Like.of, pending))  # by what they are like: there may be very many
        self._running: dict[str, Task] = {}
        self._printed_at = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            _State(self._state),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            speed_estimate_period=math.inf,
            get_time=time.monotonic,
        )
        self._grid = self._progress.add_task("cells", total=len(pending))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def started(self, cell: Cell) -> None:
        self._waiting[Like.of(cell)] -= 1
        self._progress.add_task(title(cell), total=None, like=Like.of(cell))
        self._running[cell.id] = self._progress.tasks[-1]

    def progressed(self, cell: Cell, data: Mapping[str, Any]) -> None:
        task = self._running[cell.id]
        self._progress.update(task.id, completed=data.get("step"), total=data.get("steps"), **data)
        if "warning" in data:
            self._print(one_line(f"        {title(cell)}: {data['warning']}"))
        silent = time.monotonic() - self._printed_at
        if not self._console.is_terminal and silent > SIGN_OF_LIFE_SECONDS and "loss" in data:
            self._print(f"        {title(cell)}: {_described(task)}")

    def retried(self, cell: Cell, reason: str) -> None:
        self._stop(cell)
        self._waiting[Like.of(cell)] += 1
        self._print(f"        {title(cell)}: {reason}; it starts again")

    def ended(self, record: Record) -> None:
        if not self._stop(record.cell):  # it ended without having started here
            self._waiting[Like.of(record.cell)] -= 1
        self._estimator.learn(record)
        self._done += 1
        failed = record.failed and record.status != "interrupted"
        self._failed += failed
        self._progress.update(self._grid, completed=self._done)
        if self._console.is_terminal:
            mark = "[green]✓[/]" if record.status == "ok" else "[red]✗[/]" if failed else "[yellow]–[/]"
            self._print(f"{mark} {escape(outcome_line(record))}", markup=True)
        else:
            left = self.time_left() if self._done < self._total else None
            rest = f"; {duration(left)} left" if left else ""
            self._print(f"[{self._done}/{self._total}] {outcome_line(record)}{rest}")

    def time_left(self) -> float | None:
        """Seconds to the end of the grid; None: not known yet, as long as nothing is known of one of its cells."""
        running = [self._left(task) for task in list(self._running.values())]
        guesses = [(self._estimator.guess(like), count) for like, count in self._waiting.items() if count]
        known = [left for left in running if left is not None]
        waiting = [guess * count for guess, count in guesses if guess is not None]
        if len(known) < len(running) or len(waiting) < len(guesses):
            return None
        return max(sum(known + waiting) / self._workers, *known, 0.0)

    def _left(self, task: Task) -> float | None:
        """Seconds of a running cell, by cells like it and its own steps: whichever says more; None: not known yet."""
        guess = self._estimator.guess(task.fields["like"])
        known = [] if guess is None else [guess - (task.elapsed or 0.0)]
        known += [] if task.time_remaining is None else [task.time_remaining]
        return max(0.0, *known) if known else None

    def _stop(self, cell: Cell) -> bool:
        """Stop showing a cell as running; whether it was."""
        if task := self._running.pop(cell.id, None):
            self._progress.remove_task(task.id)
        return task is not None

    def _state(self, task: Task) -> str:
        """What is beside the bar of the grid, or of a running cell."""
        if task.id == self._grid:
            left = self.time_left()
            known = "estimating the time left" if left is None else f"about {duration(left)} left"
            failed = f", {self._failed} failed" if self._failed else ""
            return f"{self._done} of {self._total}{failed}, {'finishing' if left is not None and left < 1 else known}"
        return f"{_described(task)}, {duration(task.elapsed)}"

    def _print(self, line: str, markup: bool = False) -> None:
        self._console.print(line, markup=markup, highlight=False, soft_wrap=True)
        self._printed_at = time.monotonic()


class _State(ProgressColumn):
    """A text that is made anew each time it is drawn."""

    def __init__(self, state: Callable[[Task], str]) -> None:
        super().__init__()
        self._text_of = state

    def render(self, task: Task) -> Text:
        return Text(self._text_of(task))


def _described(task: Task) -> str:
    """How far a cell has got."""
    parts = [f"step {task.completed:.0f}/{task.total:.0f}" if task.completed and task.total else "loading"]
    for name in ("loss", "validation"):
        if task.fields.get(name) is not None:
            parts.append(f"{name} {task.fields[name]:.4f}")
    return ", ".join(parts)


class FetchDisplay(AbstractContextManager["FetchDisplay"]):
    """Downloads: a bar each on a terminal, a line each elsewhere. Nothing is shown where nothing is downloaded."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = TextColumn("Fetching {task.description}", markup=False), BarColumn(), DownloadColumn()
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def on_progress(self, name: str, done: int, total: int | None) -> None:
        """Show how many bytes of a source have been downloaded."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
            if self._console.is_terminal:
                self._progress.start()
            else:
                size = f" ({total / 1e6:.0f} MB)" if total else ""
                self._console.print(f"Fetching {name}{size}", highlight=False, markup=False)
        self._progress.update(self._tasks[name], completed=done, total=total)
