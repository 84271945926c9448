"""When each optimiser step of a training ended, whoever's training it is."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self


class StepMarks:
    """Context manager that notes the time after every step of any torch optimiser.

    times: of time.perf_counter, in seconds, one a step. torch calls a hook after each step, so that a loop that
    nobody here wrote is timed exactly as one's own is.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self._handle: Any = None

    def __enter__(self) -> Self:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self._handle = register_optimizer_step_post_hook(self._note)
        return self

    def _note(self, *_: Any) -> None:
        self.times.append(time.perf_counter())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.remove()
