"""How long cells take, guessed from those that are done."""

import statistics
from collections import defaultdict
from collections.abc import Iterable

from bench.grid.cell import Cell
from bench.records.record import Record


class Estimator:
    """Learns from finished records; knows only profiles, presets and models that it has seen."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._medians: dict[tuple[str, ...], float] = {}  # of those that were asked for
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take a record's total time in, if the cell ran to its end."""
        if record.status == "ok" and "total" in record.timeline:
            self.learn_seconds(record.cell, record.timeline["total"])

    def learn_seconds(self, cell: Cell, seconds: float) -> None:
        """Take in how long a cell took that ran to its end."""
        for key in self._keys(*self.like(cell)):
            self._seconds[key].append(seconds)
            self._medians.pop(key, None)

    @staticmethod
    def like(cell: Cell) -> tuple[str, str, str, str, str, str]:
        """What cells have in common of which the same is guessed: the arguments of `guess_like`."""
        return cell.profile.name, cell.preset, cell.model, cell.method, cell.variant, cell.task

    def guess(self, cell: Cell) -> float | None:
        """Seconds that a cell will take: the median of its like, else of its method, else of all; None: no idea."""
        return self.guess_like(*self.like(cell))

    def guess_like(self, profile: str, preset: str, model: str, method: str, variant: str, task: str) -> float | None:
        """As `guess`, for a cell that is not made yet."""
        for key in self._keys(profile, preset, model, method, variant, task):
            if key in self._medians:
                return self._medians[key]
            if key in self._seconds:
                self._medians[key] = statistics.median(self._seconds[key])
                return self._medians[key]
        return None

    def guess_all(self, cells: Iterable[Cell], workers: int) -> float | None:
        """Seconds for many cells on so many workers; None if any of them is unknown."""
        guesses = [self.guess(cell) for cell in cells]
        known = [guess for guess in guesses if guess is not None]
        return sum(known) / workers if len(known) == len(guesses) else None

    @staticmethod
    def _keys(profile: str, preset: str, model: str, method: str, variant: str, task: str) -> list[tuple[str, ...]]:
        scope = (profile, preset, model)
        return [(*scope, method, variant, task), (*scope, method, variant), scope]


def duration(seconds: float | None) -> str:
    """A time for people: `8 s`, `3 min`, `2 h 05 min`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
