"""A planned grid, run on the executor that was asked for, and shown while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from bench.executors import Executor
from bench.forecast.seconds import Estimator
from bench.measure.environment import settings
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
    from bench.runner.remote import cluster  # imports Ray, which is optional

    profile, address, results = planned.pending[0].profile, request.ray_address, request.results.resolve()
    with cluster(profile, address, results, request.mirror, _environment(), run.SETUP) as (executor, workers, payload):
        yield Place(executor, workers, payload, stores=True)


def _environment() -> dict[str, str]:
    """What a worker's environment on any machine has of this process's, so that it computes as one here would."""
    return settings() | run.worker_environment()
