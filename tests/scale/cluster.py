"""A simulated cluster of 256 workers on 32 machines, on which workers, machines and drivers die.

Its clock is not the real one: days pass in seconds. What drives it is the real thing: bench.runner.run.Run, the store,
the estimates, the display.
"""

from __future__ import annotations

import contextlib
import heapq
import random
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

from made import cell, record
from rich.console import Console

from bench.executors import Event, Finished, Job, Lost, Progress, Retried, Started
from bench.forecast.seconds import Estimator
from bench.grid.cell import Cell
from bench.records.record import Record
from bench.records.store import Store
from bench.runner.backend import Backend
from bench.runner.plan import Plan
from bench.runner.progress import GridDisplay
from bench.runner.run import Run
from bench.train.assignment import Assignment

WORKERS, PER_MACHINE = 256, 8
RESTART_SECONDS, REPAIR_SECONDS = 30.0, 1800.0  # of a worker, of a machine


class DriverKilled(BaseException):
    """The driver goes as by SIGKILL: nothing is recorded, and its workers end with it."""


@dataclass
class Cluster:
    """An executor on a clock of its own.

    deaths: the chance of a worker to die in a cell, half of the time with the record written. machine_losses: a day.
    """

    store: Store
    seconds: dict[str, float]
    deaths: float = 0.0
    machine_losses: float = 0.0
    kill_driver_after: int | None = None  # events
    clock: float = 0.0
    started: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    doubled: set[str] = field(default_factory=set)  # started although finished, or while running elsewhere

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        for count, event in enumerate(self._events(iter(jobs))):
            if count == self.kill_driver_after:
                raise DriverKilled
            yield event

    def _events(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        chance = random.Random(self.clock)
        jobs, again = iter(jobs), list[Job]()
        # (when, tie, what, worker or machine): a worker is free, its cell ends, a machine is lost
        agenda: list[tuple[float, int, str, int]] = []
        running: dict[int, tuple[Job, int]] = {}
        ties = iter(range(10**9))

        def plan(after: float, what: str, who: int) -> int:
            heapq.heappush(agenda, (self.clock + after, tie := next(ties), what, who))
            return tie

        for worker in range(WORKERS):
            plan(chance.random(), "free", worker)
        for machine in range(WORKERS // PER_MACHINE if self.machine_losses else 0):
            plan(chance.expovariate(self.machine_losses / 86_400), "loss", machine)
        exhausted = False
        while agenda and (running or again or not exhausted):
            self.clock, tie, what, who = heapq.heappop(agenda)
            if what == "free":
                if (job := again.pop() if again else next(jobs, None)) is None:
                    exhausted = True
                    continue
                if self.written[job.key] or any(job.key == other.key for other, _ in running.values()):
                    self.doubled.add(job.key)
                self.started[job.key] += 1
                running[who] = job, plan(self.seconds[job.key], "end", who)
                yield Started(job.key, who)
                yield Progress(job.key, {"step": 1, "steps": 2, "loss": 0.5})
            elif what == "end" and who in running and running[who][1] == tie:
                job, _ = running.pop(who)
                dies = chance.random() < self.deaths
                made = self._finish(job.payload) if not dies or chance.random() < 0.5 else None
                yield Lost(job.key, "error", "the worker died", None, 1.0, "") if dies else Finished(job.key, made)
                plan(RESTART_SECONDS if dies else 0.0, "free", who)
            elif what == "loss":
                for worker in running.keys() & set(range(who * PER_MACHINE, (who + 1) * PER_MACHINE)):
                    job, _ = running.pop(worker)
                    again.append(job)
                    plan(REPAIR_SECONDS, "free", worker)
                    yield Retried(job.key, "lost with its machine")
                plan(chance.expovariate(self.machine_losses / 86_400), "loss", who)

    def _finish(self, assignment: Assignment) -> Record:
        """What a worker does at a cell's end: it writes the record (here without waiting for the disk)."""
        of = assignment.cell
        timeline = {"train": self.seconds[of.id], "total": self.seconds[of.id]}
        made = record(of.method, of.seed, of={"task": of.task}, timeline=timeline, retries=assignment.retries)
        self.store.records.mkdir(parents=True, exist_ok=True)
        self.store.path(made.id).write_text(made.to_json(), encoding="utf-8")
        self.written[made.id] += 1
        return made


def drive(cluster: Cluster, cells: dict[str, Cell], kill_driver_after: Iterable[int] = ()) -> int:
    """Run a grid until every cell is finished, as somebody would who repeats the command; how many runs that took."""
    store, runs, kills = cluster.store, 0, list(kill_driver_after)
    while True:
        stamps = {id: store.stamp(id) for id in cells}
        finished = {id: found for id in cells if (found := store.finished(id))}
        assignments = {id: Assignment(each, store.root, store.root, (), WORKERS, None) for id, each in cells.items()}
        planned = Plan(assignments, finished, WORKERS, "simulated", stamps)
        if not planned.pending:
            return runs
        runs += 1
        estimator = Estimator(store.all()[0])
        cluster.kill_driver_after = kills.pop(0) if kills else None
        display = GridDisplay(planned.pending, WORKERS, estimator, Console(stderr=True))
        with contextlib.suppress(DriverKilled), display:
            Run(planned, Backend(cluster, WORKERS), store, display, guess=estimator.guess).run()


def grid(count: int) -> dict[str, Cell]:
    made = [cell(f"method-{at % 20}", at // 200, task=f"task-{at // 20 % 10}") for at in range(count)]
    return {each.id: each for each in made}
