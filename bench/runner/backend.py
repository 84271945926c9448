"""A planned grid, run on the executor that was asked for, and shown while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from bench.executors import Executor
from bench.executors.ray import MIB, Here, RayExecutor, Share
from bench.forecast.estimate import Estimator
from bench.measure.environment import settings
from bench.profiles import Profile
from bench.profiles.probe import probe
from bench.records.store import Store
from bench.runner import run
from bench.runner.makespan import Makespan
from bench.runner.plan import Plan
from bench.runner.progress import display_for
from bench.runner.request import LOCAL, Request
from bench.runner.run import Outcome
from bench.train.assignment import Assignment


@dataclass(frozen=True)
class Place:
    """Where cells run. workers: how many at a time. payload, stores: as `running.Run` takes them."""

    executor: Executor
    workers: int
    payload: Callable[[Assignment], Any] = lambda assignment: assignment
    stores: bool = False


def launch(planned: Plan, request: Request, console: Console, makespan: Makespan | None = None) -> Outcome:
    """Run the cells that are not finished, their progress shown on the console.

    Raises:
        BenchError: if the place where they should run cannot be had. Nothing has run then.
    """
    store = Store(request.results)
    estimator = Estimator(store.all()[0])
    with place_of(planned, request) as place:
        planned = replace(planned, workers=place.workers)
        makespan = makespan or Makespan(place.workers)
        makespan.workers = place.workers
        with display_for(planned.pending, place.workers, estimator, console) as display:
            return run.Run(
                planned,
                place.executor,
                store,
                display,
                request.options.timeout,
                guess=estimator.guess,
                makespan=makespan,
                payload=place.payload,
                stores=place.stores,
            ).run()


@contextmanager
def place_of(planned: Plan, request: Request) -> Iterator[Place]:
    """The place that the request names, for as long as the context lasts."""
    logs = request.results / "logs"
    if request.options.executor == LOCAL or not planned.pending:
        yield Place(run.local_executor(planned.workers, logs), planned.workers)
        return
    from bench.runner.remote import Errand, marked

    machine = probe()
    executor = RayExecutor(
        "bench.runner.remote:run",
        share_of(planned.pending[0].profile),
        address=request.ray_address,
        here=Here(machine.cpu_cores_allowed, len(machine.gpus), machine.usable_memory_mib * MIB),
        log_dir=logs,
        env=_environment(),
        setup=run.SETUP,
    )
    results = request.results.resolve()
    with executor, marked(results) as token:
        logs.mkdir(exist_ok=True)  # machines that see it put their workers' logs there
        yield Place(
            executor,
            executor.workers,
            lambda assignment: Errand.of(assignment, request.mirror, results, token),
            stores=True,
        )


def share_of(profile: Profile) -> Share:
    """What a cell takes of a machine: that of one of the profile's workers.

    The profile's workers share a GPU, where it has one, and a machine, where it has none: of those there is then no
    cell more at a time than the profile says, whatever the machine has room for, so that figures stay comparable.
    """
    return Share(
        cpus=profile.min_cores / profile.workers,
        gpus=0.0 if profile.device == "cpu" else math.floor(1e4 / profile.workers) / 1e4,  # Ray counts in 1/10,000
        memory=profile.min_memory_mib * MIB // profile.workers,
        most=profile.workers if profile.device == "cpu" else None,
    )


def _environment() -> dict[str, str]:
    """What a worker's environment on any machine has of this process's, so that it computes as one here would."""
    return settings() | run.worker_environment()
