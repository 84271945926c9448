"""Phases and throughput with a clock that the test sets."""

from typing import Any

import pytest

from bench.measure import time as measure
from bench.measure.time import RATES, Step, StepClock, Timeline, throughput


class Clock:
    """Stands where the test puts it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measure.time, "perf_counter", clock)
    return clock


def spend(clock: Clock, timeline: Timeline, phase: str, seconds: float, failing: bool = False) -> None:
    with timeline.phase(phase):
        clock.now += seconds
        if failing:
            raise ZeroDivisionError


def test_phases_add_up_with_the_rest(clock: Clock) -> None:
    timeline = Timeline()
    clock.now += 1
    spend(clock, timeline, "load", 2)
    spend(clock, timeline, "train", 4)
    clock.now += 0.5
    spend(clock, timeline, "train", 8)
    seconds = timeline.seconds()
    assert seconds == {"load": 2, "train": 12, "untracked": 1.5, "total": 15.5}
    assert list(seconds) == ["load", "train", "untracked", "total"]


def test_a_phase_inside_another_interrupts_it(clock: Clock) -> None:
    timeline = Timeline()
    with timeline.phase("train"):
        clock.now += 1
        spend(clock, timeline, "wait", 10)
        clock.now += 2
        with pytest.raises(ZeroDivisionError):
            spend(clock, timeline, "wait", 20, failing=True)
        clock.now += 4
    assert (timeline["train"], timeline["wait"], timeline["test"]) == (7, 30, 0)
    assert timeline.seconds() == {"train": 7, "wait": 30, "untracked": 0, "total": 37}


def test_throughput_by_hand() -> None:
    """The slow first three go; 60 examples in 2 seconds, not the mean of 10, 40 and 40 a second."""
    first = [Step(seconds, 10, 99) for seconds in (100, 50, 25)]
    assert throughput([*first, Step(1.0, 10, 100), Step(0.5, 20, 50), Step(0.5, 30, 50)]) == {
        "train_examples_per_second": pytest.approx(60 / 2),
        "train_tokens_per_second": pytest.approx(200 / 2),
        "step_p50_ms": pytest.approx(500),
        "step_p95_ms": pytest.approx(950),  # 500, 500, 1000: nine tenths of the way from 500 to 1000
        "steps_counted": 3,
        "steps_dropped": 3,
    }


@pytest.mark.parametrize(("seconds", "count", "dropped"), [(1.0, 0, 0), (1.0, 1, 1), (1.0, 3, 3), (0.0, 5, 3)])
def test_too_few_steps_or_no_duration_say_nothing(seconds: float, count: int, dropped: int) -> None:
    found = throughput([Step(seconds, 8, 80)] * count)
    assert found == {**dict.fromkeys(RATES), "steps_counted": 0, "steps_dropped": dropped}


def test_steps_on_a_processor_are_timed_one_by_one(clock: Clock) -> None:
    steps = StepClock("cpu")
    assert steps.read() == []
    for seconds, examples in ((2.0, 4), (3.0, 5)):
        clock.now += 10  # between steps: not counted
        with steps.step(examples, 10 * examples):
            clock.now += seconds
    with pytest.raises(KeyError), steps.step(1, 1):  # a step that fails does not count
        raise KeyError
    assert steps.read() == [Step(2.0, 4, 40), Step(3.0, 5, 50)]


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_steps_on_a_gpu_wait_once_at_the_end(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    import torch

    stream: list[str] = []
    now = iter([5.0, 255.0, 1000.0, 1500.0])  # milliseconds at which the stream reaches the events

    class Event:
        def __init__(self, enable_timing: bool = False) -> None:
            assert enable_timing
            self.at: float | None = None

        def record(self) -> None:
            stream.append("record")
            self.at = next(now)

        def elapsed_time(self, end: Any) -> float:
            assert stream[-1] == "synchronize"
            assert self.at is not None
            return float(end.at - self.at)

    gpu = getattr(torch, device.partition(":")[0])
    monkeypatch.setattr(gpu, "Event", Event)
    monkeypatch.setattr(gpu, "synchronize", lambda *device: stream.append("synchronize"))
    steps = StepClock(device)
    with steps.step(4, 40):
        stream.append("work")
    with steps.step(6, 60):
        stream.append("work")
    assert stream == ["record", "work", "record"] * 2
    assert steps.read() == [Step(0.25, 4, 40), Step(0.5, 6, 60)]
    assert stream.count("synchronize") == 1
    assert steps.read() == [Step(0.25, 4, 40), Step(0.5, 6, 60)]  # what was read before is kept
