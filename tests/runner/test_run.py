"""What a run makes of the events of its executor, which is played here; with real ones: tests/faults."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import pytest
from made import cell, record
from rich.console import Console

from bench.executors import Event, Finished, Job, Lost, Retried, Started
from bench.forecast.seconds import Estimator
from bench.grid.cell import Cell
from bench.records.store import Store
from bench.runner.backend import Backend
from bench.runner.plan import Plan
from bench.runner.progress import GridDisplay
from bench.runner.run import Run, RunResult, in_order
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
    assert (result.failed, result.interrupted) == ([], False)


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


# The order of cells

SECONDS = {"short": 1.0, "middle": 5.0, "long": 9.0}
CELLS = [cell(method, seed, task=task) for seed in (3, 1) for task in ("a", "b") for method in SECONDS]


def ordered(cells: Iterable[Cell], workers: int, seconds: dict[str, float]) -> list[tuple[str, str, int]]:
    return [(each.method, each.task, each.seed) for each in in_order(cells, workers, lambda c: seconds.get(c.method))]


def test_one_worker_takes_cells_seed_by_seed_as_they_come() -> None:
    mixed = [CELLS[at] for at in (0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11)]
    assert ordered(mixed, 1, SECONDS) == [(each.method, each.task, each.seed) for each in CELLS]


def test_several_begin_with_unknown_cells_and_then_the_longest_of_each_seed() -> None:
    unknown = [cell("new", 3, task=task) for task in ("b", "a")]
    found = ordered([*CELLS, *unknown], 2, SECONDS)
    assert found[:4] == [("new", "b", 3), ("new", "a", 3), ("long", "a", 3), ("long", "b", 3)]
    assert [seed for *_, seed in found] == [3] * 8 + [1] * 6


def test_a_seed_is_put_in_order_when_its_turn_comes() -> None:
    learnt: dict[str, float] = {}
    cells = in_order(CELLS, 2, lambda each: learnt.get(each.method))
    assert [next(cells).method for _ in range(6)] == ["short", "middle", "long"] * 2
    learnt.update(SECONDS)
    assert [each.method for each in cells] == ["long", "long", "middle", "middle", "short", "short"]
