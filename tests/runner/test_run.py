"""What a run makes of the events of its executor, which is played here; with real ones: tests/faults."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made import cell, record
from rich.console import Console

from bench.executors import Event, Finished, Job, Lost, Retried, Started
from bench.forecast.seconds import Estimator
from bench.records.store import Store
from bench.runner.backend import Backend
from bench.runner.plan import Plan
from bench.runner.progress import GridDisplay
from bench.runner.run import Run, RunResult
from bench.train.assignment import Assignment

REASON = "lost with its machine at step 3, after 9 s"
End = Callable[[Assignment], Event]


class LosesTwice:
    """An executor that loses each job twice with its machine, then ends it; it pickles the payload for each attempt."""

    def __init__(self, end: End) -> None:
        self.end = end

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        for job in jobs:
            for worker in (0, 1):
                yield Started(job.key, worker)
                yield Retried(job.key, REASON)
            yield Started(job.key, 0)
            yield self.end(pickle.loads(pickle.dumps(job.payload)))


@pytest.fixture
def run(tmp_path: Path) -> Callable[[End], RunResult]:
    """run(end): a grid of one cell, whose third attempt ends so."""
    assignment = Assignment(cell=cell(), data=tmp_path, model=tmp_path, plugins=(), workers=1, results=tmp_path)
    planned = Plan({cell().id: assignment}, {}, 1, "")

    def run(end: End) -> RunResult:
        display = GridDisplay([cell()], 1, Estimator(), Console(file=io.StringIO()))
        return Run(planned, Backend(LosesTwice(end), 1), Store(tmp_path), display).run()

    return run


def finished(store: Store | None) -> End:
    """As a worker does, which writes its record where it can."""

    def end(assignment: Assignment) -> Event:
        made = record(retries=assignment.retries)
        if store is not None:
            store.write(made)
        return Finished(made.id, made)

    return end


@pytest.mark.parametrize("written", [True, False])
def test_the_record_is_there_whether_its_worker_could_write_it_or_not(
    written: bool, run: Callable[[End], RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process writes it, once; it says how often the cell was lost with its machine."""
    writes: list[str] = []
    write = Store.write
    monkeypatch.setattr(Store, "write", lambda store, made: (writes.append(made.id), write(store, made))[1])
    result = run(finished(Store(tmp_path) if written else None))
    assert Store(tmp_path).read(cell().id) == result.records[cell().id] == record(retries=[REASON, REASON])
    assert writes == [cell().id]
    assert (result.ran, result.failed, result.interrupted) == ({cell().id}, [], False)


def lost(assignment: Assignment) -> Event:
    return Lost(assignment.cell.id, "error", "lost for good", {"step": 3}, 9.0, "")


def test_a_cell_that_is_given_up_tells_of_its_losses_too(run: Callable[[End], RunResult], tmp_path: Path) -> None:
    run(lost)
    found = Store(tmp_path).read(cell().id)
    assert found is not None
    assert (found.status, found.reason, found.last_step, found.retries) == ("error", "lost for good", 3, [REASON] * 2)


def test_a_record_that_was_written_before_its_worker_died_counts(
    run: Callable[[End], RunResult], tmp_path: Path
) -> None:
    def end(assignment: Assignment) -> Event:
        finished(Store(tmp_path))(assignment)
        return lost(assignment)

    assert run(end).records[cell().id].status == "ok"


def test_the_payload_is_made_of_the_assignment(tmp_path: Path) -> None:
    assignment = Assignment(cell=cell(), data=tmp_path, model=tmp_path, plugins=(), workers=1, results=None)
    payloads: list[Any] = []

    class Notes:
        def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
            for job in jobs:
                payloads.append(job.payload)
                yield Finished(job.key, record())

    display = GridDisplay([cell()], 1, Estimator(), Console(file=io.StringIO()))
    backend = Backend(Notes(), 1, payload=lambda each: replace(each, workers=7))
    Run(Plan({cell().id: assignment}, {}, 1, ""), backend, Store(tmp_path), display).run()
    assert [each.workers for each in payloads] == [7]
