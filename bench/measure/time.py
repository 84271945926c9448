"""Time: named phases of a cell, with the rest that no phase covers, and the throughput of optimiser steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

RATES = ("train_examples_per_second", "train_tokens_per_second", "step_p50_ms", "step_p95_ms")
DROPPED_STEPS = 3  # the first steps of a training pay for caches, allocators and lazy initialisation


class Timeline:
    """Named phases of one cell, in seconds; a phase inside another interrupts it. (After mteb's timing.py.)"""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._phases: dict[str, float] = {}
        self._open: list[str] = []
        self._since = self._begin

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of a block as `name`; a name that is used again adds up."""
        self._count()
        self._open.append(name)
        try:
            yield
        finally:
            self._count()
            self._open.pop()

    def __getitem__(self, name: str) -> float:
        """Seconds of a phase so far; 0 where there was none."""
        return self._phases.get(name, 0.0)

    def seconds(self) -> dict[str, float]:
        """Every phase, then `untracked` (outside all phases) and `total`."""
        total = time.perf_counter() - self._begin
        return {**self._phases, "untracked": total - sum(self._phases.values()), "total": total}

    def _count(self) -> None:
        """Add the time since the last change to the innermost phase."""
        now = time.perf_counter()
        if self._open:
            self._phases[self._open[-1]] = self._phases.get(self._open[-1], 0.0) + now - self._since
        self._since = now


@dataclass(frozen=True)
class Step:
    """One optimiser step: seconds of forward, backward and update; examples and non-padding tokens in it."""

    seconds: float
    examples: int
    tokens: int


def throughput(steps: Sequence[Step]) -> dict[str, Any]:
    """Throughput and step times after the first DROPPED_STEPS, by a record's names; RATES are None if none are left.

    Sums over sums of seconds, not means of ratios. Percentiles interpolate linearly.
    """
    counted = steps[DROPPED_STEPS:]
    seconds = sum(step.seconds for step in counted)
    if seconds <= 0:
        return {**dict.fromkeys(RATES), "steps_counted": 0, "steps_dropped": min(DROPPED_STEPS, len(steps))}
    p50, p95 = np.percentile([1000 * step.seconds for step in counted], [50, 95])
    return {
        "train_examples_per_second": sum(step.examples for step in counted) / seconds,
        "train_tokens_per_second": sum(step.tokens for step in counted) / seconds,
        "step_p50_ms": float(p50),
        "step_p95_ms": float(p95),
        "steps_counted": len(counted),
        "steps_dropped": DROPPED_STEPS,
    }


class StepClock:
    """Times steps. On a GPU by events in the stream, so that no step waits for the host until they are read."""

    def __init__(self, device: str) -> None:
        self._device = device.partition(":")[0]
        self._spans: list[tuple[Any, Any, int, int]] = []  # not yet read
        self._steps: list[Step] = []

    @contextmanager
    def step(self, examples: int, tokens: int) -> Iterator[None]:
        begin = self._now()
        yield
        self._spans.append((begin, self._now(), examples, tokens))

    def _now(self) -> Any:
        if self._device == "cpu":
            return time.perf_counter()
        event = self._gpu().Event(enable_timing=True)
        event.record()
        return event

    def read(self) -> list[Step]:
        """All steps so far, in order. On a GPU it waits for them; read now and then, few events are kept."""
        if self._device != "cpu":
            self._gpu().synchronize()
        self._steps += [Step(self._between(begin, end), *counts) for begin, end, *counts in self._spans]
        self._spans.clear()
        return self._steps

    def _between(self, begin: Any, end: Any) -> float:
        """Seconds."""
        return end - begin if self._device == "cpu" else begin.elapsed_time(end) / 1000

    def _gpu(self) -> Any:
        """torch.cuda or torch.mps."""
        import torch

        return getattr(torch, self._device)
