"""Phases and throughput with a clock that the test sets."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure import time as measure
from bench.measure.time import Step, StepClock, Throughput, Timeline, throughput


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


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100), st.floats(0, 100)), max_size=8))
def test_what_is_outside_all_phases_is_never_negative(work: list[tuple[str, float, float]]) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure.time, "perf_counter", clock)
        timeline = Timeline()
        for phase, inside, outside in work:
            spend(clock, timeline, phase, inside)
            clock.now += outside
        seconds = timeline.seconds()
    assert seconds["untracked"] == pytest.approx(sum(outside for _, _, outside in work), abs=1e-9)
    assert sum(seconds.values()) == pytest.approx(2 * seconds["total"])


def test_throughput_by_hand() -> None:
    """The slow first three go; 60 examples in 2 seconds, not the mean of 10, 40 and 40 a second."""
    steps = [
        Step(100, 10, 99),
        Step(50, 10, 99),
        Step(25, 10, 99),
        Step(1.0, 10, 100),
        Step(0.5, 20, 50),
        Step(0.5, 30, 50),
    ]
    found = throughput(steps)
    assert found.examples_per_second == pytest.approx(60 / 2)
    assert found.tokens_per_second == pytest.approx(200 / 2)
    assert found.step_p50_ms == pytest.approx(500)
    assert found.step_p95_ms == pytest.approx(950)  # 500, 500, 1000: nine tenths of the way from 500 to 1000
    assert (found.steps, found.dropped) == (3, 3)


@given(st.lists(st.floats(0.001, 10), min_size=4, max_size=30), st.integers(0, 3))
def test_percentiles_are_numpys(seconds: list[float], dropped: int) -> None:
    found = throughput([Step(value, 1, 1) for value in seconds], dropped)
    kept = np.array(seconds[dropped:])
    assert found.step_p50_ms == pytest.approx(np.median(kept) * 1000)
    assert found.step_p95_ms == pytest.approx(np.percentile(kept, 95) * 1000)
    assert found.examples_per_second == pytest.approx(1 / kept.mean())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_steps_say_nothing(count: int) -> None:
    assert throughput([Step(1.0, 8, 80)] * count) == Throughput(None, None, None, None, 0, count)


def test_steps_without_any_duration_say_nothing() -> None:
    assert throughput([Step(0.0, 8, 80)] * 5).examples_per_second is None


def test_steps_on_a_processor_are_timed_one_by_one(clock: Clock) -> None:
    steps = StepClock("cpu")
    assert steps.steps() == []
    for seconds, examples in ((2.0, 4), (3.0, 5)):
        clock.now += 10  # between steps: not counted
        with steps.step(examples, 10 * examples):
            clock.now += seconds
    with pytest.raises(KeyError), steps.step(1, 1):  # a step that fails does not count
        raise KeyError
    assert steps.steps() == [Step(2.0, 4, 40), Step(3.0, 5, 50)]


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
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

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *device: stream.append("synchronize"))
    steps = StepClock(device)
    with steps.step(4, 40):
        stream.append("work")
    with steps.step(6, 60):
        stream.append("work")
    assert stream == ["record", "work", "record"] * 2
    assert steps.steps() == [Step(0.25, 4, 40), Step(0.5, 6, 60)]
    assert stream.count("synchronize") == 1
