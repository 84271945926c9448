"""How a running grid looks, in a log and on a terminal."""

from __future__ import annotations

import io
import re

import pytest
from made import cell, failed, record
from rich.console import Console

from bench.forecast.seconds import Estimator
from bench.runner import progress
from bench.runner.progress import FetchDisplay, LiveDisplay, PlainDisplay, outcome_line


class Clock:
    """Time as the test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_one_line_on_an_ended_cell() -> None:
    assert outcome_line(record(score=0.25)) == "head on sms-spam, seed 0: matthews 0.2500 (10 s)"
    assert outcome_line(record(score=None)) == "head on sms-spam, seed 0: matthews undefined (10 s)"
    assert outcome_line(failed()) == "head on sms-spam, seed 0: oom: a case of oom"
    late = failed("lora", 2, "timeout", of={"variant": "r=4"}, last_step=7)
    assert outcome_line(late) == "lora[r=4] on sms-spam, seed 2: timeout at step 7: a case of timeout"


# In a log


def test_a_line_a_cell_with_the_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell(seed=seed) for seed in range(3)]
    with PlainDisplay(cells, 1, Estimator()) as display:
        display.started(cells[0])
        display.progressed(cells[0], {"step": 1, "steps": 4, "loss": 0.5})
        display.ended(record(seed=0, timeline={"total": 300.0}))
        display.started(cells[1])
        clock.now += 60
        display.ended(failed(seed=1))
        display.started(cells[2])
        display.ended(record(seed=2))
    assert capsys.readouterr() == (
        "",
        "[1/3] head on sms-spam, seed 0: matthews 0.5000 (5 min); 10 min left\n"
        "[2/3] head on sms-spam, seed 1: oom: a case of oom; 5 min left\n"
        "[3/3] head on sms-spam, seed 2: matthews 0.5000 (10 s)\n",
    )


def test_a_cell_that_begins_again_is_told_and_waits(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay([cell()], 1, Estimator([record(timeline={"total": 100.0})]))
    display.started(cell())
    clock.now += 60
    display.retried(cell(), "lost with its machine after 60 s")
    assert capsys.readouterr().err == (
        "        head on sms-spam, seed 0: lost with its machine after 60 s; it begins again\n"
    )
    assert display._tally.left() == 100  # all of it is to be done again
    display.started(cell())
    display.ended(record())
    assert capsys.readouterr().err.startswith("[1/1] ")


def test_two_workers_halve_the_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell(seed=seed) for seed in range(5)]
    display = PlainDisplay(cells, 2, Estimator())
    display.started(cells[0])
    display.started(cells[1])
    clock.now += 100
    display.ended(record(seed=0, timeline={"total": 100.0}))
    # Three wait, 100 s each; the one that runs has used its 100 s up.
    assert capsys.readouterr().err.endswith("; 2 min left\n")


def test_a_sign_of_life_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay([cell()], 1, Estimator())
    display.started(cell())
    for step in range(1, 131):
        clock.now += 1
        display.progressed(cell(), {"steps": 500} if step == 1 else {"step": step, "loss": 1 / step})
    assert capsys.readouterr().err.splitlines() == [
        "        head on sms-spam, seed 0: step 61/500, loss 0.0164",
        "        head on sms-spam, seed 0: step 122/500, loss 0.0082",
    ]


# On a terminal


def console(width: int = 120) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def printed(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", on.file.getvalue())


def drawn(display: LiveDisplay) -> str:
    """The picture as it is now."""
    paper = console()
    paper.print(display._draw())
    return printed(paper)


def test_the_live_picture(clock: Clock) -> None:
    cells = [cell(seed=seed, task="a[/red]b") for seed in range(4)]
    paper = console()
    with LiveDisplay(cells, 1, Estimator(), paper) as display:
        assert "0 of 4 cells, about unknown left" in drawn(display)
        display.started(cells[0])
        assert "head on a[/red]b, seed 0" in drawn(display)
        assert "loading" in drawn(display)
        clock.now += 30
        display.progressed(cells[0], {"steps": 8})
        display.progressed(cells[0], {"step": 2, "steps": 8, "loss": 0.75})
        display.progressed(cells[0], {"validation": 0.5})
        display.progressed(cells[0], {"validation": None})
        picture = drawn(display)
        assert "step 2/8" in picture
        assert "loss 0.7500" in picture
        assert "30 s" in picture
        assert "validation" not in picture
        display.ended(record(seed=0, of={"task": "a[/red]b"}))
        display.started(cells[1])
        display.ended(failed(seed=1, of={"task": "a[/red]b"}, reason="odd [/red] [bold]text"))
        assert "2 of 4 cells, 1 failed, about 20 s left" in drawn(display)
        assert "seed 1" not in drawn(display)
        display.started(cells[2])
        display.ended(failed(seed=2, status="skipped", of={"task": "a[/red]b"}))
        assert "3 of 4 cells, 1 failed, about 10 s left" in drawn(display)
    text = printed(paper)
    assert "✓ head on a[/red]b, seed 0: matthews 0.5000 (10 s)" in text
    assert "✗ head on a[/red]b, seed 1: oom: odd [/red] [bold]text" in text
    assert "– head on a[/red]b, seed 2: skipped: a case of skipped" in text


def test_a_first_cell_is_guessed_from_its_own_steps(clock: Clock) -> None:
    display = LiveDisplay([cell()], 1, Estimator(), console())
    display.started(cell())
    clock.now += 20
    display.progressed(cell(), {"step": 10, "steps": 40, "loss": 1.0})
    assert "0 of 1 cells, about 60 s left" in drawn(display)


# Downloads


def test_a_download_in_a_log_is_one_line() -> None:
    paper = Console(file=io.StringIO(), force_terminal=False, width=120)
    with FetchDisplay(paper) as display:
        for done in (0, 10, 20_000_000):
            display.told("model minilm-l6", done, 20_000_000)
        display.told("task x", 5, None)
    assert printed(paper) == "Fetching model minilm-l6 (20 MB)\nFetching task x\n"


def test_nothing_downloaded_is_nothing_said() -> None:
    for paper in (console(), Console(file=io.StringIO(), force_terminal=False)):
        with FetchDisplay(paper):
            pass
        assert printed(paper) == ""


def test_a_download_on_a_terminal_is_a_bar() -> None:
    paper = console()
    with FetchDisplay(paper) as display:
        display.told("task x", 5_000_000, 10_000_000)
        display.told("task x", 10_000_000, 10_000_000)
    assert "Fetching task x" in printed(paper)
    assert "10.0/10.0 MB" in printed(paper)
