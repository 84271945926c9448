"""What a grid makes of cells that were lost with their machine, by an executor that plays it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest
from made import cell, record

from bench.executors import Event, Finished, Job, Lost, Retried, Started
from bench.records.store import Store
from bench.runner.plan import Plan
from bench.runner.run import Run
from bench.train.assignment import Assignment

REASON = "lost with its machine at step 3, after 9 s"


class Played:
    """Loses the first job twice, then ends it as told."""

    def __init__(self, end: Event) -> None:
        self.end = end
        self.payloads: list[Any] = []

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        for job in jobs:
            self.payloads.append(job.payload)
            for worker in (0, 1):
                yield Started(job.key, worker)
                yield Retried(job.key, REASON)
            yield Started(job.key, 0)
            yield self.end


class Told:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, cell: Any) -> None:
        self.lines.append("started")

    def progressed(self, cell: Any, data: Any) -> None: ...

    def retried(self, cell: Any, reason: str) -> None:
        self.lines.append(reason)

    def ended(self, record: Any) -> None:
        self.lines.append(record.status)


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    assignment = Assignment(cell=cell(), data=tmp_path, model=tmp_path, plugins=(), workers=1, results=tmp_path)
    return Plan({cell().id: assignment}, {}, 1, "")


@pytest.mark.parametrize("stores", [True, False])
def test_the_record_tells_of_them_wherever_it_was_written(planned: Plan, stores: bool, tmp_path: Path) -> None:
    store, display = Store(tmp_path), Told()
    store.write(record())  # by the worker, which knows of no earlier attempt
    played = Played(Finished(cell().id, record().model_dump(mode="json")))
    outcome = Run(planned, played, store, display, stores=stores).run()
    assert store.read(cell().id) == outcome.records[cell().id] == record(retries=[REASON, REASON])
    assert display.lines == ["started", REASON, "started", REASON, "started", "ok"]


def test_a_cell_that_is_given_up_tells_of_them_too(planned: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path)
    Run(planned, Played(Lost(cell().id, "error", "lost for good", {"step": 3}, 9.0, "")), store, Told()).run()
    found = store.read(cell().id)
    assert found is not None
    assert (found.status, found.reason, found.last_step, found.retries) == ("error", "lost for good", 3, [REASON] * 2)


def test_the_payload_is_made_of_the_assignment(planned: Plan, tmp_path: Path) -> None:
    played = Played(Finished(cell().id, record().model_dump(mode="json")))
    Run(planned, played, Store(tmp_path), Told(), payload=lambda assignment: assignment.cell.id).run()
    assert played.payloads == [cell().id]
