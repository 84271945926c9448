"""Workers that take turns, as processes of their own: who measures is alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure.time import ALONE_STEPS, DROPPED_STEPS
from bench.measure.turns import Turns

# A worker as a training is to the clock: steps of milliseconds. Prints when each began and ended, and if it counts.
WORKER = """
import json, sys, time
from pathlib import Path
from bench.measure.time import StepClock
from bench.measure.turns import Turns

file, steps, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
spans = []
for _ in range(2):  # two cells
    with Turns(file) as turns:
        clock = StepClock("cpu", turns)
        for _ in range(steps):
            with clock.step(1, 1):
                begin = time.monotonic()
                time.sleep(seconds)
                spans.append([begin, time.monotonic()])
        turns.together()
        counted = [step.counted for step in clock.steps()]
        for _ in range(5):  # an evaluation
            turns.pause()
            begin = time.monotonic()
            time.sleep(seconds)
            spans.append([begin, time.monotonic()])
        spans[-5 - steps:] = [[*span, c] for span, c in zip(spans[-5 - steps:], counted + [False] * 5)]
print(json.dumps(spans))
"""
Span = tuple[float, float, bool]


def start(file: Path, steps: int, seconds: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WORKER, str(file), str(steps), str(seconds)]
    return subprocess.Popen(arguments, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)


def overlaps(one: list[Span], other: list[Span]) -> int:
    return sum(a[0] < b[1] and b[0] < a[1] for a in one for b in other)


def test_no_step_that_counts_overlaps_any_step_of_another_worker(tmp_path: Path) -> None:
    """Steps of unlike length, two cells each, three processes: what counts is alone, and the rest does run at once."""
    steps = DROPPED_STEPS + ALONE_STEPS + 30
    workers = [start(tmp_path / "turns", steps, seconds) for seconds in (0.004, 0.007, 0.005)]
    spans: list[list[Span]] = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    counted = [[span for span in each if span[2]] for each in spans]
    assert [len(each) for each in counted] == [2 * ALONE_STEPS] * 3
    for at, mine in enumerate(counted):
        others = [span for other in range(3) if other != at for span in spans[other]]
        assert overlaps(mine, others) == 0
    rest = [[span for span in each if not span[2]] for each in spans]
    assert overlaps(rest[0], rest[1]) > 0


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_worker_that_dies_alone_leaves_the_others_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from bench.measure.turns import Turns\n"
        "with Turns(Path(sys.argv[1])) as turns:\n    turns.alone(); print('alone', flush=True); time.sleep(60)"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "turns")]
    process = subprocess.Popen(arguments, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
    with killed(process):
        assert process.stdout is not None
        assert process.stdout.readline() == "alone\n"
        os.kill(process.pid, signal.SIGKILL)
        with Turns(tmp_path / "turns") as turns:
            turns.alone()


def test_turns_within_one_process(tmp_path: Path) -> None:
    waits: list[float] = []

    @contextmanager
    def waiting() -> Iterator[None]:
        begin = time.monotonic()
        yield
        waits.append(time.monotonic() - begin)

    finished: list[str] = []
    with Turns(tmp_path / "a" / "turns", waiting, lambda: finished.append("x")) as turns:
        turns.pause()  # nobody waits: nothing to be done
        assert (len(waits), finished) == (1, [])
        turns.alone()
        turns.alone()
        turns.pause()
        assert (len(waits), finished) == (2, ["x"])
        turns.together()
        turns.together()
        assert finished == ["x", "x"]
    with Turns(tmp_path / "a" / "turns") as again:  # whatever was held has been given back
        again.alone()


def test_without_others_nothing_is_done() -> None:
    with Turns() as turns:
        assert not turns.taken
        turns.alone()
        turns.pause()
        turns.together()
