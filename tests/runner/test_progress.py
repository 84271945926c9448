"""How a running grid is shown, in a log and on a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from made import cell, failed, record
from rich.console import Console

from bench.forecast.seconds import Estimator
from bench.grid.cell import Cell
from bench.records.record import Record
from bench.runner import progress
from bench.runner.progress import FetchDisplay, GridDisplay, outcome_line


class Clock:
    """Time as the test sets it."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def paper(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


def show(cells: list[Cell], known: Record | None = None, workers: int = 1, terminal: bool = False) -> GridDisplay:
    return GridDisplay(cells, workers, Estimator([known] if known else []), paper(terminal))


def test_one_line_on_an_ended_cell() -> None:
    assert outcome_line(record(score=0.25)) == "head on sms-spam, seed 0: matthews 0.2500 (10 s)"
    assert outcome_line(record(score=None)) == "head on sms-spam, seed 0: matthews undefined (10 s)"
    assert outcome_line(failed()) == "head on sms-spam, seed 0: oom: a case of oom"
    late = failed("lora", 2, "timeout", of={"variant": "r=4"}, last_step=7)
    assert outcome_line(late) == "lora[r=4] on sms-spam, seed 2: timeout at step 7: a case of timeout"


def test_a_warning_names_its_cell() -> None:
    with show([cell()]) as display:
        display.started(cell())
        display.progressed(cell(), {"warning": "not logged by mlflow: \x1b[2Jgone"})
    assert isinstance(display._console.file, io.StringIO)
    assert "head on sms-spam, seed 0: not logged by mlflow: " in display._console.file.getvalue()
    assert "\x1b[2J" not in display._console.file.getvalue()


# The time left


def test_the_time_left_of_a_first_cell_follows_from_its_steps(clock: Clock) -> None:
    display = show([cell()])
    assert display.time_left() is None
    display.started(cell())
    display.progressed(cell(), {"steps": 75})
    clock.now += 10  # loading is not training
    display.progressed(cell(), {"step": 1, "loss": 1.0})
    assert display.time_left() is None
    clock.now += 19
    display.progressed(cell(), {"step": 20, "loss": 1.0})
    assert display.time_left() == 55


def test_a_cell_that_takes_longer_than_others_like_it_has_the_time_of_its_steps_left(clock: Clock) -> None:
    display = show([cell(seed=1)], record(timeline={"total": 30.0}))
    assert display.time_left() == 30
    display.started(cell(seed=1))
    for step in (1, 20):
        clock.now += 20
        display.progressed(cell(seed=1), {"step": step, "steps": 77, "loss": 1.0})
    assert display.time_left() == 60  # and not 0


def test_workers_share_the_time_left_but_not_that_of_one_cell(clock: Clock) -> None:
    cells = [cell(seed=seed) for seed in range(5)]
    display = show(cells, record(timeline={"total": 100.0}), workers=2)
    assert display.time_left() == 250
    display.started(cells[0])
    clock.now += 60
    assert display.time_left() == 220
    for each in cells[:4]:
        display.ended(record(seed=each.seed, timeline={"total": 100.0}))
    display.started(cells[4])
    assert display.time_left() == 100


def test_a_retried_cell_is_to_be_done_again(clock: Clock) -> None:
    display = show([cell()], record(timeline={"total": 100.0}))
    display.started(cell())
    clock.now += 60
    display.retried(cell(), "lost with its machine after 60 s")
    assert printed(display._console) == (
        "        head on sms-spam, seed 0: lost with its machine after 60 s; it starts again\n"
    )
    assert display.time_left() == 100
    display.started(cell())
    display.ended(record())
    assert display.time_left() == 0


# In a log


def test_a_line_a_cell_with_the_time_left(clock: Clock) -> None:
    cells = [cell(seed=seed) for seed in range(3)]
    with show(cells) as display:
        display.started(cells[0])
        display.progressed(cells[0], {"step": 1, "steps": 4, "loss": 0.5})
        display.ended(record(seed=0, timeline={"total": 300.0}))
        display.started(cells[1])
        clock.now += 60
        display.ended(failed(seed=1))
        display.started(cells[2])
        display.ended(record(seed=2))
    assert printed(display._console) == (
        "[1/3] head on sms-spam, seed 0: matthews 0.5000 (5 min); 10 min left\n"
        "[2/3] head on sms-spam, seed 1: oom: a case of oom; 5 min left\n"
        "[3/3] head on sms-spam, seed 2: matthews 0.5000 (10 s)\n"
    )


def test_a_sign_of_life_now_and_then(clock: Clock) -> None:
    display = show([cell()])
    display.started(cell())
    for step in range(1, 131):
        clock.now += 1
        display.progressed(cell(), {"steps": 500} if step == 1 else {"step": step, "loss": 1 / step})
    assert printed(display._console).splitlines() == [
        "        head on sms-spam, seed 0: step 61/500, loss 0.0164",
        "        head on sms-spam, seed 0: step 122/500, loss 0.0082",
    ]


# On a terminal


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[[GridDisplay], str]:
    """drawn(display): the live part as it is now."""

    def draw(display: GridDisplay) -> str:
        console = paper(terminal=True)
        console.print(display._progress.get_renderable())
        return printed(console)

    return draw


def test_the_live_picture(clock: Clock, drawn: Callable[[GridDisplay], str]) -> None:
    cells = [cell(seed=seed, task="a[/red]b") for seed in range(5)]
    of = {"task": "a[/red]b"}
    with show(cells, terminal=True) as display:
        assert "0 of 5, estimating the time left" in drawn(display)
        display.started(cells[0])
        assert "head on a[/red]b, seed 0" in drawn(display)
        assert "loading, 0 s" in drawn(display)
        clock.now += 30
        display.progressed(cells[0], {"steps": 8})
        display.progressed(cells[0], {"step": 2, "steps": 8, "loss": 0.75})
        display.progressed(cells[0], {"validation": 0.5})
        assert "step 2/8, loss 0.7500, validation 0.5000, 30 s" in drawn(display)
        display.progressed(cells[0], {"validation": None})
        assert "step 2/8, loss 0.7500, 30 s" in drawn(display)
        display.ended(record(seed=0, of=of))
        display.started(cells[1])
        display.ended(failed(seed=1, of=of, reason="odd [/red] [bold]text"))
        assert "2 of 5, 1 failed, about 30 s left" in drawn(display)
        assert "seed 1" not in drawn(display)
        display.started(cells[2])
        display.ended(failed(seed=2, status="skipped", of=of))
        display.started(cells[3])
        display.ended(failed(seed=3, status="interrupted", of=of))
        assert "4 of 5, 1 failed, about 10 s left" in drawn(display)  # an interruption is no failure
        display.started(cells[4])
        clock.now += 10
        assert "4 of 5, 1 failed, finishing" in drawn(display)
    text = printed(display._console)
    assert "✓ head on a[/red]b, seed 0: matthews 0.5000 (10 s)" in text
    assert "✗ head on a[/red]b, seed 1: oom: odd [/red] [bold]text" in text
    assert "– head on a[/red]b, seed 2: skipped: a case of skipped" in text
    assert "– head on a[/red]b, seed 3: interrupted: a case of interrupted" in text


# Downloads


def test_a_download_is_a_line_in_a_log_and_a_bar_on_a_terminal() -> None:
    log, terminal = paper(), paper(terminal=True)
    for console in (log, terminal):
        with FetchDisplay(console):
            pass
        assert printed(console) == ""  # nothing was downloaded
        with FetchDisplay(console) as display:
            for done in (0, 10_000_000, 20_000_000):
                display.on_progress("model minilm-l6", done, 20_000_000)
            display.on_progress("task x", 5, None)
    assert printed(log) == "Fetching model minilm-l6 (20 MB)\nFetching task x\n"
    assert "Fetching model minilm-l6" in printed(terminal)
    assert "20.0/20.0 MB" in printed(terminal)
