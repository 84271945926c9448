"""One run over a cluster's machines: the queue, a seat for each worker, and what becomes of a job that is lost."""

from __future__ import annotations

import pickle
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.executors import Event, Finished, Job, Lost, Progress, Retried, Started
from bench.executors.local.process import GRACE
from bench.executors.local.scheduling import STARTS_PER_JOB
from bench.executors.ray.cluster import Share, alive, one_line
from bench.executors.ray.host import Host, Kit
from bench.executors.tasks import Task, draw

RETRIES = 3
"""How often a job is begun again that was lost with its machine, before it is given up."""

LOOK = 2.0
"""Seconds between two looks at which machines there are."""

OPENINGS = 3
"""How many workers in a row may fail to open on a machine before it is left alone."""

MACHINES_LIMIT = 600.0
"""Seconds without any machine that has room before what is left is given up. One that was lost may return."""


@dataclass
class _Seat:
    """A place for a worker on a machine: its host opens, then runs one task after another."""

    number: int
    machine: str
    host: Any
    awaited: Any
    """What Ray is asked for next: that the host is up, or the task's next event."""
    task: Task | None = None
    began: float | None = None
    progress: dict[str, Any] | None = None
    opening: bool = True

    def lost_with_machine(self) -> str:
        assert self.began is not None
        step = (self.progress or {}).get("step")
        at = "" if step is None else f"at step {step}, "
        return f"lost with its machine {at}after {time.monotonic() - self.began:.0f} s"


@dataclass
class Run:
    """One run. Tasks wait here; a seat is opened for a task that waits, and gets one when it is up."""

    kit: Kit
    share: Share
    jobs: Iterator[Job]
    _seats: dict[int, _Seat] = field(default_factory=dict)
    _waiting: deque[Task] = field(default_factory=deque)
    _machines: dict[str, dict[str, float]] = field(default_factory=dict)
    _failed_openings: Counter[str] = field(default_factory=Counter)  # in a row
    _looked: float = float("-inf")
    _had_room: float = field(default_factory=time.monotonic)
    _last_failure: str = "none that is left has room"

    def events(self) -> Generator[Event, None, None]:
        import ray

        try:
            while True:
                yield from self._open_seats()
                if not self._seats and not self._waiting:
                    return
                if self._seats:
                    self._had_room = time.monotonic()
                elif self._hopeless():
                    yield from self._give_up()
                    return
                by_awaited = {seat.awaited: seat for seat in self._seats.values()}
                if not by_awaited:
                    time.sleep(LOOK / 4)
                    continue
                # One to wait for, then all that are there: no seat is kept waiting by another that talks a lot.
                ready, _ = ray.wait(list(by_awaited), num_returns=1, timeout=LOOK, fetch_local=False)
                if ready and len(by_awaited) > 1:
                    ready, _ = ray.wait(list(by_awaited), num_returns=len(by_awaited), timeout=0, fetch_local=False)
                for each in ready:
                    yield from self._listen(by_awaited[each])
        finally:
            self._close()

    def _draw(self) -> Generator[Event, None, Task | None]:
        """The next task: one that waits, or a new one; None after the last."""
        return self._waiting.popleft() if self._waiting else (yield from draw(self.jobs))

    def _open_seats(self) -> Generator[Event, None, None]:
        """Open a seat for each task that waits for one, as far as there is room; draw tasks for that."""
        if time.monotonic() - self._looked > LOOK:
            self._machines = alive()
            self._looked = time.monotonic()
        opening = sum(seat.opening for seat in self._seats.values())
        taken = Counter(seat.machine for seat in self._seats.values())
        for machine, resources in self._machines.items():
            room = 0 if self._failed_openings[machine] >= OPENINGS else self.share.room(resources)
            for _ in range(room - taken[machine]):
                if opening >= len(self._waiting):
                    if (task := (yield from draw(self.jobs))) is None:
                        return
                    self._waiting.append(task)
                self._open(machine, room, max(1, int(resources.get("GPU", 0))) if self.share.gpus else 1)
                opening += 1

    def _open(self, machine: str, beside: int, groups: int) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        number = next(number for number in range(len(self._seats) + 1) if number not in self._seats)
        host = (
            ray.remote(Host)
            .options(
                num_cpus=self.share.cpus,
                num_gpus=self.share.gpus,
                memory=self.share.memory,
                max_concurrency=2,  # for `end`, besides `run`
                max_restarts=0,
                max_task_retries=0,  # what is lost comes back to `Run`, which decides
                scheduling_strategy=NodeAffinitySchedulingStrategy(machine, soft=False),
            )
            .remote(self.kit, number, beside, groups)
        )
        self._seats[number] = _Seat(number, machine, host, host.up.remote())

    def _listen(self, seat: _Seat) -> Generator[Event, None, None]:
        """Take in one thing that a seat has to say."""
        import ray
        from ray.exceptions import OutOfMemoryError, RayTaskError
        from ray.exceptions import RayError as FromRay

        try:
            if seat.opening:
                ray.get(seat.awaited)
            else:
                message = ray.get(next(seat.awaited))
        except FromRay as error:
            self._remove(seat)
            if seat.opening:
                self._failed_openings[seat.machine] += 1
                self._last_failure = f"a worker could not be opened: {one_line(error)}"
            elif isinstance(error, OutOfMemoryError):
                yield _lost(seat, "oom", "Ray ended the worker, because its machine was running out of memory")
            elif isinstance(error, RayTaskError):
                yield _lost(seat, "error", f"the worker's host failed: {one_line(error)}")
            else:
                yield from self._retry(seat)
            return
        if seat.opening:
            seat.opening = False
            self._failed_openings[seat.machine] = 0
            yield from self._proceed(seat)
        else:
            yield from self._take(seat, message)

    def _take(self, seat: _Seat, message: bytes) -> Generator[Event, None, None]:
        """Pass an event of the seat's task on."""
        assert seat.task is not None
        try:
            event: Event = pickle.loads(message)
        except Exception as exc:  # noqa: BLE001 - unpickling runs whatever code the target's data brings along
            self._remove(seat)
            yield _lost(seat, "error", f"what the job sent cannot be unpickled: {one_line(exc)}")
            return
        match event:
            case Started():
                seat.began = time.monotonic()
                yield event
            case Progress(data=data):
                seat.progress = data
                yield event
            case Lost(reason=reason) if seat.began is None:
                # The worker did not get as far as its task: another machine may be in a better state.
                self._remove(seat)
                self._failed_openings[seat.machine] = OPENINGS
                self._last_failure = reason
                seat.task.failed_starts += 1
                if seat.task.failed_starts < STARTS_PER_JOB:
                    self._waiting.appendleft(seat.task)
                else:
                    yield event
            case Finished() | Lost():
                yield event
                yield from self._proceed(seat)

    def _retry(self, seat: _Seat) -> Generator[Event, None, None]:
        """The seat's machine is gone, or at least its host, which does nothing but listen to the worker."""
        assert seat.task is not None
        if seat.began is None:  # nothing of the task is lost
            self._waiting.appendleft(seat.task)
            return
        seat.task.losses += 1
        if seat.task.losses > RETRIES:
            attempts = RETRIES + 1
            yield _lost(seat, "error", f"{seat.lost_with_machine()}, in attempt {attempts} of {attempts}")
        else:
            self._waiting.appendleft(seat.task)
            yield Retried(seat.task.job.key, seat.lost_with_machine())

    def _proceed(self, seat: _Seat) -> Generator[Event, None, None]:
        """The next task for a seat that is up and has none."""
        seat.task, seat.began, seat.progress = None, None, None
        if (task := (yield from self._draw())) is None:
            self._remove(seat)
        else:
            seat.task = task
            seat.awaited = seat.host.run.remote(task.job.key, task.payload, task.job.timeout)

    def _remove(self, *seats: _Seat) -> None:
        """End seats: their workers, then their hosts."""
        import ray

        for seat in seats:
            self._seats.pop(seat.number, None)
        try:
            # A worker whose host is gone would end itself, but Ray may end it first and leave what it started.
            if ending := [seat.host.end.remote() for seat in seats if not seat.opening]:
                ray.wait(ending, num_returns=len(ending), timeout=GRACE)
        finally:  # even if a second Ctrl-C cuts the waiting short
            for seat in seats:
                ray.kill(seat.host)

    def _hopeless(self) -> bool:
        """Whether there is no use in waiting for a machine."""
        refused = [machine for machine in self._machines if self._failed_openings[machine] >= OPENINGS]
        useful = [each for each in self._machines.values() if self.share.room(each)]
        return (bool(refused) and len(refused) >= len(useful)) or time.monotonic() - self._had_room > MACHINES_LIMIT

    def _give_up(self) -> Generator[Event, None, None]:
        reason = f"there is no machine to run it on: {self._last_failure}"
        while (task := (yield from self._draw())) is not None:
            yield Lost(task.job.key, "error", reason, None, 0.0, "")

    def _close(self) -> None:
        """End all workers, whatever they are doing."""
        self._remove(*self._seats.values())


def _lost(seat: _Seat, status: Any, reason: str) -> Lost:
    assert seat.task is not None
    seconds = 0.0 if seat.began is None else time.monotonic() - seat.began
    return Lost(seat.task.job.key, status, reason, seat.progress, seconds, "")
