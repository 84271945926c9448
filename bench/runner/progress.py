"""How a running grid looks: live on a terminal, plain lines elsewhere. Everything here goes to standard error."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table

from bench.forecast.seconds import Estimator, Like, duration
from bench.grid.cell import Cell
from bench.records.record import Record
from bench.sanitize import one_line

HEARTBEAT_SECONDS = 60.0  # how often a cell in a log says that it is alive


def outcome_line(record: Record) -> str:
    """One line on one ended cell; its reason is whatever an exception said, and commands no terminal."""
    cell = f"{record.cell.label}, seed {record.cell.seed}"
    if record.status != "ok":
        at = f" at step {record.last_step}" if record.last_step else ""
        return one_line(f"{cell}: {record.status}{at}: {record.reason}")
    score = "undefined" if record.score is None else f"{record.score:.4f}"
    return one_line(f"{cell}: {record.metric} {score} ({duration(record.timeline.get('total'))})")


def retry_line(cell: Cell, reason: str) -> str:
    """One line on a cell that has to begin again."""
    return f"{cell.label}, seed {cell.seed}: {reason}; it begins again"


class _Tally:
    """What both displays know: how many cells there are, which run, and the time left."""

    def __init__(self, pending: Sequence[Cell], workers: int, estimator: Estimator) -> None:
        self.total, self.done, self.failed = len(pending), 0, 0
        self._waiting = Counter(map(Like.of, pending))  # by what they are like: there may be very many
        self._begun: set[str] = set()
        self._workers, self._estimator = workers, estimator
        self.running: dict[str, tuple[Cell, float, dict[str, Any]]] = {}

    def start(self, cell: Cell) -> None:
        self._begin(cell)
        self.running[cell.id] = (cell, time.monotonic(), {})

    def update(self, cell: Cell, data: Mapping[str, Any]) -> dict[str, Any]:
        state = self.running[cell.id][2]
        state.update(data)
        return state

    def lose(self, cell: Cell) -> None:
        self.running.pop(cell.id, None)
        self._waiting[Like.of(cell)] += 1
        self._begun.discard(cell.id)

    def end(self, record: Record) -> None:
        self._begin(record.cell)  # it may have ended without
        self.running.pop(record.id, None)
        self.done += 1
        self.failed += record.failed
        self._estimator.learn(record)

    def left(self) -> float | None:
        """Seconds to the end of the grid; None: not known yet."""
        rest = 0.0
        for like, count in self._waiting.items():
            guess = self._estimator.guess(like) if count > 0 else 0.0
            if guess is None:
                return None
            rest += count * guess
        for cell, since, state in self.running.values():
            elapsed, guess = time.monotonic() - since, self._estimator.guess(cell)
            if guess is None and state.get("step"):
                guess = elapsed * state["steps"] / state["step"]
            if guess is None:
                return None
            rest += max(0.0, guess - elapsed)
        return rest / self._workers

    def _begin(self, cell: Cell) -> None:
        if cell.id not in self._begun:
            self._begun.add(cell.id)
            self._waiting[Like.of(cell)] -= 1


class PlainDisplay(AbstractContextManager["PlainDisplay"]):
    """A line when a cell ends, and a sign of life now and then: for logs and CI."""

    def __init__(self, pending: Sequence[Cell], workers: int, estimator: Estimator) -> None:
        self._tally = _Tally(pending, workers, estimator)
        self._last_sign = time.monotonic()
        self._left: tuple[float, float | None] | None = None  # when the time left was worked out, and what it was

    def __exit__(self, *error: object) -> None:
        return None

    def started(self, cell: Cell) -> None:
        self._tally.start(cell)

    def progressed(self, cell: Cell, data: Mapping[str, Any]) -> None:
        state = self._tally.update(cell, data)
        if time.monotonic() - self._last_sign > HEARTBEAT_SECONDS and "loss" in state:
            at = f"step {state['step']}/{state['steps']}, loss {state['loss']:.4f}"
            self._say(f"        {cell.label}, seed {cell.seed}: {at}")

    def retried(self, cell: Cell, reason: str) -> None:
        self._tally.lose(cell)
        self._say(f"        {retry_line(cell, reason)}")

    def ended(self, record: Record) -> None:
        self._tally.end(record)
        left = self._time_left()
        rest = f"; {duration(left)} left" if left else ""
        self._say(f"[{self._tally.done}/{self._tally.total}] {outcome_line(record)}{rest}")

    def _time_left(self) -> float | None:
        """Worked out at most once a second: hundreds of workers may end several cells in one."""
        now, is_last = time.monotonic(), self._tally.done == self._tally.total
        if self._left is None or is_last or now - self._left[0] > 1:
            self._left = now, self._tally.left()
        return self._left[1]

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        self._last_sign = time.monotonic()


class LiveDisplay(AbstractContextManager["LiveDisplay"]):
    """Cells done and running, loss, last score and the time left, redrawn in place."""

    def __init__(self, pending: Sequence[Cell], workers: int, estimator: Estimator, console: Console) -> None:
        self._tally = _Tally(pending, workers, estimator)
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), console=console)
        self._grid: TaskID = self._bar.add_task("", total=len(pending))
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def started(self, cell: Cell) -> None:
        self._tally.start(cell)

    def progressed(self, cell: Cell, data: Mapping[str, Any]) -> None:
        self._tally.update(cell, data)

    def retried(self, cell: Cell, reason: str) -> None:
        self._tally.lose(cell)
        self._live.console.print(f"[yellow]↻[/] {escape(retry_line(cell, reason))}", highlight=False)

    def ended(self, record: Record) -> None:
        self._tally.end(record)
        mark = {"ok": "[green]✓[/]", "skipped": "[yellow]–[/]"}.get(record.status, "[red]✗[/]")
        self._live.console.print(f"{mark} {escape(outcome_line(record))}", highlight=False)

    def _draw(self) -> Group:
        tally = self._tally
        failed = f", [red]{tally.failed} failed[/]" if tally.failed else ""
        text = f"{tally.done} of {tally.total} cells{failed}, about {duration(tally.left())} left"
        self._bar.update(self._grid, completed=tally.done, description=text)
        table = Table.grid(padding=(0, 2))
        for cell, since, state in tally.running.values():
            steps = f"step {state['step']}/{state['steps']}" if "step" in state else "loading"
            loss = f"loss {state['loss']:.4f}" if "loss" in state else ""
            score = f"validation {state['validation']:.4f}" if state.get("validation") is not None else ""
            clock = duration(time.monotonic() - since)
            table.add_row(escape(f"  {cell.label}, seed {cell.seed}"), steps, loss, score, clock)
        return Group(self._bar, table)


def display_for(
    pending: Sequence[Cell], workers: int, estimator: Estimator, console: Console
) -> LiveDisplay | PlainDisplay:
    """The display that suits where `console` writes to."""
    if console.is_terminal:
        return LiveDisplay(pending, workers, estimator, console)
    return PlainDisplay(pending, workers, estimator)


class FetchDisplay(AbstractContextManager["FetchDisplay"]):
    """Downloads: a bar on a terminal, a line a download elsewhere. Silent where nothing is downloaded."""

    def __init__(self, console: Console) -> None:
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("Fetching {task.description}"),
            BarColumn(),
            DownloadColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._console = console

    def __exit__(self, *error: object) -> None:
        if self._live and self._tasks:
            self._progress.stop()

    def told(self, name: str, done: int, total: int | None) -> None:
        """Take in that so many bytes of a source have arrived."""
        if name not in self._tasks:
            if self._live:
                self._progress.start()
            else:
                size = f" ({total / 1e6:.0f} MB)" if total else ""
                self._console.print(f"Fetching {name}{size}", highlight=False)
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)


class StageDisplay(AbstractContextManager["StageDisplay"]):
    """A number of stages, one after another: a bar on a terminal, a line a stage elsewhere."""

    def __init__(self, console: Console, stages: int) -> None:
        self._console, self._stages, self._begun = console, stages, 0
        self._bar = Progress(
            TextColumn("{task.completed} of {task.total}"),
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._bar.add_task("", total=stages)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def told(self, what: str) -> None:
        """Take in that a stage begins, and so that the one before it is over."""
        self._bar.update(self._task, completed=self._begun, description=what)
        self._begun += 1
        if not self._console.is_terminal:
            self._console.print(f"[{self._begun}/{self._stages}] {what}", markup=False)
