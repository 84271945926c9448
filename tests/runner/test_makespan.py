"""Where the time of a grid went, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from made import failed, record

from bench.runner import makespan as module
from bench.runner.makespan import PHASES, Makespan, csv


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """at(seconds): it is so late now."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def put(seconds: float) -> None:
        now[0] = seconds

    return put


def test_two_workers_by_hand(at: Callable[[float], None]) -> None:
    at(2)
    made = Makespan(2, began=0)  # the program itself took two seconds to start
    at(3)
    made.run_begins()
    at(5)
    made.cell_begins("a", 0)
    at(6)
    made.cell_begins("b", 1)
    timeline = {"load model": 1.0, "train": 6.0, "test": 2.0, "untracked": 0.5, "total": 9.5}
    at(15)
    made.cell_ends("a", record(timeline=timeline))
    made.cell_begins("c", 0)
    at(18)
    made.cell_ends("b", failed(timeline={}))  # its worker died; another one starts
    at(20)
    made.cell_begins("d", 1)
    at(21)
    made.cell_ends("d", failed(timeline={"train": 0.5, "total": 1.0}))
    made.cell_ends("never begun", failed())
    at(25)
    made.cell_ends("c", record(timeline={"load model": 1.0, "train": 8.0, "a new phase": 1.0, "total": 10.0}))
    at(26)
    made.run_ends()
    at(28)
    made.end()
    found = {row["part"]: row["worker_seconds"] for row in made.rows()}
    assert found == {
        "training": 14, "evaluation": 2, "loading": 2, "rest of cells": 1.5,
        "failed cells": 12 + 1, "handing over": 0.5, "starting workers": 2 + 3 + 2, "idle workers": 5 + 1,
        "planning": 2 * 3, "tables": 2 * 2,
    }  # fmt: skip
    assert sum(float(seconds) for seconds in found.values()) == 2 * made.seconds == 2 * 28
    assert sum(float(row["percent"]) for row in made.rows()) == pytest.approx(100, abs=0.1)
    assert made.text().startswith("28 s with 2 workers: training 25.0 %, evaluation 3.6 %")
    assert csv(made.rows()).splitlines()[:2] == ["part,worker_seconds,percent", "training,14.0,25.0"]


def test_a_lost_cell_and_a_machine_that_joins(at: Callable[[float], None]) -> None:
    made = Makespan(1, began=0)
    at(2)
    made.run_begins()
    at(3)
    made.cell_begins("a", 0)
    at(7)
    made.cell_is_lost("a")
    at(8)
    made.cell_begins("a", 1)  # on a machine that was not there before
    at(12)
    made.cell_ends("a", record(timeline={"train": 4.0, "total": 4.0}))
    made.run_ends()
    made.end()
    found = {row["part"]: row["worker_seconds"] for row in made.rows()}
    # Worker 0 starts for a second, and for the rest after its loss; worker 1 for the six seconds before its cell.
    assert found == {"training": 4, "failed cells": 4, "starting workers": 1 + 6, "idle workers": 5, "planning": 2 * 2}
    assert sum(float(seconds) for seconds in found.values()) == 2 * made.seconds == 2 * 12


def test_nothing_to_do(at: Callable[[float], None]) -> None:
    made = Makespan(1)
    made.run_begins()
    made.run_ends()
    made.end()
    assert (made.rows(), made.text()) == ([], "0 s with 1 worker: nothing to do.")


def test_every_phase_of_a_cell_has_its_part() -> None:
    """All that a cell of the harness claims; what plugins cannot add to."""
    import re
    from pathlib import Path

    root = Path(__file__).parents[2] / "bench" / "train"
    texts = [root.joinpath(name).read_text("utf-8") for name in ("cell.py", "loop.py")]
    claimed = {name for text in texts for name in re.findall(r'phase\("([^"]+)"\)', text)}
    assert claimed
    assert claimed == set(PHASES)
