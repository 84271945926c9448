"""A cluster that is simulated: `python tests/scale/cluster.py 10000` prints what driving it costs.

256 workers on 32 nodes, some of them slow; cells of random length; workers that die, before or after they have written
their record; nodes that are lost with all that runs on them; drivers that are killed. Its clock is not the real one:
days pass in seconds. What drives it is the real thing: bench.runner.run.Run, the store, the estimates, the display.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # pytest finds these by itself
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from made import cell, record
from rich.console import Console

from bench.executors import Event, Finished, Job, Lost, Progress, Started
from bench.forecast.seconds import Estimator
from bench.grid.cell import Cell
from bench.records.record import timestamp
from bench.records.store import Store
from bench.runner import run
from bench.runner.plan import Plan
from bench.runner.progress import display_for
from bench.train.assignment import Assignment

WORKERS, A_NODE = 256, 8
RESTART_SECONDS = 30.0  # of a worker
REPAIR_SECONDS = 1800.0  # of a node


class DriverKilled(BaseException):
    """The driver goes as by SIGKILL: nothing is recorded, and its workers end with it."""


@dataclass
class Chances:
    """Of a cell: that its worker dies in it, half of them with the record written. Of a node: losses a day."""

    death: float = 0.0
    node_losses: float = 0.0
    slow_nodes: float = 0.0
    slowness: float = 3.0


@dataclass
class Cluster:
    """An executor on a clock of its own. retried: makes the event of a job that was lost with its node and is begun
    again, from its key and the reason; None: such a job ends as lost."""

    store: Store
    seconds: dict[str, float]
    chances: Chances = field(default_factory=Chances)
    seed: int = 0
    kill_driver_after: int | None = None  # events
    retried: Callable[[str, str], Any] | None = None
    clock: float = 0.0
    inside: float = 0.0  # processor seconds of the simulation itself
    begun: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    doubled: set[str] = field(default_factory=set)  # begun although finished, or while it ran elsewhere

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        resumed = time.process_time()
        for count, event in enumerate(self._events(iter(jobs))):
            if count == self.kill_driver_after:
                raise DriverKilled
            self.inside += time.process_time() - resumed
            yield event
            resumed = time.process_time()

    def _events(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        chance = random.Random(f"{self.seed}/{self.clock}")
        nodes = WORKERS // A_NODE
        slow = {node for node in range(nodes) if chance.random() < self.chances.slow_nodes}
        jobs, again = iter(jobs), list[Job]()
        # (when, tie, what, worker or node): a worker is free, its cell ends, a node is lost
        agenda: list[tuple[float, int, str, int]] = []
        running: dict[int, tuple[Job, int]] = {}
        tie = 0

        def plan(after: float, what: str, who: int) -> int:
            nonlocal tie
            tie += 1
            heapq.heappush(agenda, (self.clock + after, tie, what, who))
            return tie

        for worker in range(WORKERS):
            plan(chance.random(), "free", worker)
        if self.chances.node_losses:
            for node in range(nodes):
                plan(chance.expovariate(self.chances.node_losses / 86_400), "node", node)
        exhausted = False
        while agenda and (running or again or not exhausted):
            self.clock, at, what, who = heapq.heappop(agenda)
            if what == "free":
                job = again.pop() if again else next(jobs, None)
                if job is None:
                    exhausted = True
                    continue
                if self.written[job.key] or any(job.key == other.key for other, _ in running.values()):
                    self.doubled.add(job.key)
                self.begun[job.key] += 1
                lasts = self.seconds[job.key] * (self.chances.slowness if who // A_NODE in slow else 1)
                running[who] = job, plan(lasts, "end", who)
                yield Started(job.key, who)
                yield Progress(job.key, {"step": 1, "steps": 2, "loss": 0.5})
            elif what == "end" and who in running and running[who][1] == at:
                job, _ = running.pop(who)
                dies = chance.random() < self.chances.death
                if not dies or chance.random() < 0.5:
                    result = self._finish(job.payload.cell)
                if dies:
                    yield Lost(job.key, "error", "the worker died: signal 9", None, 1.0, "")
                else:
                    yield Finished(job.key, result)
                plan(RESTART_SECONDS if dies else 0.0, "free", who)
            elif what == "node":
                for worker in range(who * A_NODE, (who + 1) * A_NODE):
                    if worker not in running:
                        continue  # it is idle for good, or starting
                    job, _ = running.pop(worker)
                    plan(REPAIR_SECONDS, "free", worker)
                    if self.retried is None:
                        yield Lost(job.key, "error", "its node was lost", None, 1.0, "")
                    else:
                        again.append(job)
                        yield self.retried(job.key, "its node was lost")
                plan(chance.expovariate(self.chances.node_losses / 86_400), "node", who)

    def _finish(self, of: Cell) -> dict[str, Any]:
        """What a worker does at a cell's end: it writes the record (here without waiting for the disk)."""
        lasted = self.seconds[of.id]
        made = record(
            of.method,
            of.seed,
            0.5,
            of={name: getattr(of, name) for name in ("task", "variant")},
            timeline={"train": lasted, "total": lasted},
            started_at=timestamp(),
            finished_at=timestamp(),
        )
        assert made.id == of.id
        self.store.records.mkdir(parents=True, exist_ok=True)
        self.store.path(made.id).write_text(made.to_json(), encoding="utf-8")
        self.written[made.id] += 1
        return made.model_dump()


@dataclass
class Driven:
    """What became of a grid: how many runs it took, processor seconds of the driver, and the cluster."""

    runs: int
    driver_seconds: float
    planning_seconds: float
    cluster: Cluster
    cells: list[Cell]

    @property
    def ideal(self) -> float:
        """Seconds on the cluster's clock if nothing failed, no node were slow and no worker ever idle."""
        return max(sum(self.cluster.seconds.values()) / WORKERS, *self.cluster.seconds.values())


def cells_of(count: int) -> list[Cell]:
    return [
        cell(f"method-{at % 20}", at // 200, task=f"task-{at // 20 % 10}", variant=f"v={at % 20}")
        for at in range(count)
    ]


def drive(
    folder: Path, count: int, chances: Chances, *, kill_driver_after: Iterable[int] = (), seed: int = 0
) -> Driven:
    """Run a grid until every cell is finished, as somebody would who gives the same command again and again."""
    store, cells, chance = Store(folder), cells_of(count), random.Random(seed)
    by_id = {each.id: each for each in cells}
    usual = {(each.method, each.task): 60 * chance.lognormvariate(2.0, 1.0) for each in cells}
    seconds = {id: usual[each.method, each.task] * chance.uniform(0.9, 1.1) for id, each in by_id.items()}
    cluster = Cluster(store, seconds, chances, seed)
    assignments = {id: Assignment(each, folder, folder, (), WORKERS, folder) for id, each in by_id.items()}
    runs, driver, planning, kills = 0, 0.0, 0.0, list(kill_driver_after)
    while True:
        began = time.process_time()
        finished = {id: found for id in by_id if (found := store.finished(id))}
        planned = Plan(assignments, finished, WORKERS, "simulated")
        if not planned.pending:
            return Driven(runs, driver, planning + time.process_time() - began, cluster, cells)
        runs += 1
        estimator = Estimator(store.all()[0])
        display = display_for(planned.pending, WORKERS, estimator, Console(stderr=True))
        planning += time.process_time() - began
        cluster.kill_driver_after = kills.pop(0) if kills else None
        began, inside = time.process_time(), cluster.inside
        with contextlib.suppress(DriverKilled), display:
            run.Run(planned, cluster, store, display, guess=estimator.guess).run()
        driver += time.process_time() - began - (cluster.inside - inside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    count = parser.parse_args().count
    for name, chances, kills in (
        ("nothing fails", Chances(), []),
        ("failures", Chances(death=0.02, node_losses=1.0, slow_nodes=0.1), [count // 2, count]),
    ):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            found = drive(Path(folder), count, chances, kill_driver_after=kills)
            kept = len(list(Store(Path(folder)).records.iterdir()))
        cluster = found.cluster
        begun = sum(cluster.begun.values())
        print(
            f"{name}: {count:,} cells on {WORKERS} workers, {found.runs} runs, {begun:,} begun; "
            f"{1e3 * found.driver_seconds / begun:.2f} ms of the driver's processor a cell begun, "
            f"{found.planning_seconds:.1f} s of planning; {cluster.clock / 3600:.2f} h on the cluster's clock, ideal "
            f"{found.ideal / 3600:.2f} h; {count - kept} cells lost, {len(cluster.doubled)} doubled"
        )


if __name__ == "__main__":
    main()
