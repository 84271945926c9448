"""How long a cell takes: the median of similar finished cells, else an estimate from its FLOPs.

The rate is the one that the profile declares or, where this machine supports the profile, that of matrix products on
it, of which a step reaches EFFICIENCY. The constants were measured on two cores with minilm-l6 (docs/planning.md).
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bench import profiles
from bench.grid.cell import Cell
from bench.measure.machine import matmul_gflops
from bench.profiles import Machine, Profile
from bench.records.record import Record

Source = Literal["records", "declared rate", "measured rate"]

EFFICIENCY = 0.55  # of the rate of matrix products: the rest of a step's time is element-wise work and memory
STEP_SECONDS = 0.001  # of Python and the optimiser: what a step of the head on cached features takes
CELL_SECONDS = 2.0  # loading, measuring memory, saving


class Like(NamedTuple):
    """What an estimate goes by: cells that have all of it in common take about the same time."""

    profile: str
    preset: str
    model: str
    method: str
    variant: str
    task: str

    @classmethod
    def of(cls, cell: Cell) -> Like:
        return cls(cell.profile.name, cell.preset, cell.model, cell.method, cell.variant, cell.task)

    def wider(self) -> Iterator[tuple[str, ...]]:
        """Of which cells the times are used, the most similar first; never across profiles, presets and models."""
        yield from (self, self[:5], self[:3])


class Estimator:
    """Estimates the time of cells from finished records; learns while a grid runs."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._medians: dict[tuple[str, ...], float] = {}  # of those that were asked for
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take in a record's total time, if the cell finished."""
        if record.status == "ok" and "total" in record.timeline:
            for key in Like.of(record.cell).wider():
                self._seconds[key].append(record.timeline["total"])
                self._medians.pop(key, None)

    def guess(self, cell: Cell | Like) -> float | None:
        """Seconds that a cell will take: the median of its like, else of its method, else of all; None: unknown."""
        like = cell if isinstance(cell, Like) else Like.of(cell)
        key = next((key for key in like.wider() if key in self._seconds), None)
        if key is None:
            return None
        if key not in self._medians:
            self._medians[key] = statistics.median(self._seconds[key])
        return self._medians[key]

    def guess_all(self, cells: Iterable[Cell], workers: int) -> float | None:
        """Seconds for many cells on this many workers; None if any of them is unknown."""
        guesses = [self.guess(cell) for cell in cells]
        known = [guess for guess in guesses if guess is not None]
        return sum(known) / workers if len(known) == len(guesses) else None


@dataclass(frozen=True)
class Rate:
    """Matrix products a second, in FLOP/s, and where the figure comes from."""

    flops: float
    source: Source


def estimate(flops: float, steps: int, rate: Rate) -> float:
    """Seconds of a cell, from the FLOPs of its training and evaluations and the number of its optimiser steps."""
    efficiency = EFFICIENCY if rate.source == "measured rate" else 1.0  # what is declared is a sustained rate
    return flops / (efficiency * rate.flops) + STEP_SECONDS * steps + CELL_SECONDS


def rate(profile: Profile, machine: Machine) -> Rate | None:
    """The rate at which a worker of this profile multiplies; None if unknown."""
    if profile.gflops is not None:
        return Rate(profile.gflops * 1e9, "declared rate")
    # The probe measures float32; that says nothing about another dtype.
    if profile.dtype != "float32" or profiles.check(profile, machine):
        return None
    threads = profile.thread_count(machine.cpu_cores_allowed) if profile.device == "cpu" else 1
    return Rate(matmul_gflops(profile.device) * threads * 1e9, "measured rate")


def duration(seconds: float | None) -> str:
    """A time for people: `8 s`, `3 min`, `2 h 05 min`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
