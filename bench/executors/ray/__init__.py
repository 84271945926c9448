"""Runs jobs on the machines of a Ray cluster, or, without one, on this machine as if it were one.

A worker is a Ray actor that runs jobs in its own process. Ray accounts for the CPUs, GPUs and memory of machines,
starts the actors, and says what became of them: an actor that died while its machine is alive was taken down by its
job, which is lost; one that died with its machine lost a job that is not to blame, and that starts again elsewhere.

The queue is here and not in Ray: no more jobs are drawn than there is room for, however many there are.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.executors import Event, Finished, Job, LossStatus, Lost, Progress, Retried, Started
from bench.executors.calls import call, find, outcome_of
from bench.executors.ray.cluster import ClusterError, Share, alive, last_line

RETRIES = 3  # how often a job that was lost with its machine is started again
TICK = 1.0  # seconds between two looks at the machines, at timeouts and at the progress of jobs
STARTS_IN_A_ROW = 2  # how many workers may fail to start on a machine before it is no longer used
MACHINES_LIMIT = 600.0  # seconds to wait for a machine when there is none with room; one that was lost may return
WORKERS_HERE = "BENCH_WORKERS_HERE"  # the environment variable that holds how many workers share a target's machine


class WorkerActor:
    """A worker: runs one job after another in its own process.

    workers_here: how many workers its machine may have at a time. board: where the progress of jobs goes.
    """

    def __init__(self, executor: RayExecutor, workers_here: int, board: Any) -> None:
        if "OMP_NUM_THREADS" not in executor.env:  # set by Ray, and not on the driver's machine
            os.environ.pop("OMP_NUM_THREADS", None)
        os.environ[WORKERS_HERE] = str(workers_here)
        self._board = board
        if executor.setup is not None:
            find(executor.setup)()
        self._target = find(executor.target)

    def run(self, key: str, payload: bytes) -> tuple[bytes, bool]:
        """Run one job; see :func:`bench.executors.calls.call`."""
        return call(self._target, payload, lambda data: self._board.put.remote(key, data))


class ProgressBoard:
    """An actor that holds what jobs have reported until the driver takes it."""

    def __init__(self) -> None:
        self._reports: defaultdict[str, dict[str, Any]] = defaultdict(dict)

    def put(self, key: str, data: dict[str, Any]) -> None:
        self._reports[key].update(data)

    def take(self) -> dict[str, dict[str, Any]]:
        taken = dict(self._reports)
        self._reports.clear()
        return taken


@dataclass(frozen=True)
class RayExecutor:
    """Calls ``target`` for each job in one of many workers on many machines; see `connected`.

    target, env, setup: as for :class:`bench.executors.local.LocalExecutor`. Modules must be installed on each machine.
    share: what each worker takes.

    A job that takes its worker down is lost and not tried again. One whose machine is lost is started again, up to
    `RETRIES` times. The output of workers is in Ray's own logs.
    """

    target: str
    share: Share
    env: Mapping[str, str]
    setup: str | None = None

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        """Run all jobs; see :class:`bench.executors.Executor`."""
        yield from _Run(self, iter(jobs)).events()


@dataclass
class _Slot:
    """A worker on a machine, and the job that it runs once it is ready.

    awaited: what Ray is asked for next: that the actor is ready, or how its job ended. started: when the job did.
    unavailable: Ray lost contact with it, and does not know yet whether it is alive.
    """

    number: int
    machine: str
    actor: Any
    awaited: Any
    job: Job = field(init=False)
    started: float | None = None
    progress: dict[str, Any] | None = None
    unavailable: bool = False

    @property
    def seconds(self) -> float:
        return 0.0 if self.started is None else time.monotonic() - self.started

    def lost(self, status: LossStatus, reason: str, trace: str = "") -> Lost:
        return Lost(self.job.key, status, reason, self.progress, self.seconds, trace)


class _Run:
    """One run. A worker is started for each job that waits, as far as there is room, and runs whichever waits then."""

    def __init__(self, executor: RayExecutor, jobs: Iterator[Job]) -> None:
        self._executor, self._jobs = executor, jobs
        self._slots: dict[int, _Slot] = {}
        self._waiting: deque[Job] = deque()  # for a worker, before those that were not drawn yet
        self._machines: dict[str, dict[str, float]] = {}
        self._losses: Counter[str] = Counter()  # of machines, by job
        self._failed_starts: Counter[str] = Counter()  # in a row, by machine
        self._last_failure = "none that is left has room"
        # On the driver's own machine for certain, so that no other machine takes it along when it is lost.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(ProgressBoard).options(num_cpus=0, scheduling_strategy=here).remote()
        self._reports = self._board.take.remote()

    def events(self) -> Generator[Event, None, None]:
        looked, had_room = float("-inf"), time.monotonic()
        try:
            while True:
                if time.monotonic() - looked > TICK:
                    looked, self._machines = time.monotonic(), alive()
                    yield from self._take_progress()
                    yield from self._end_overdue()
                self._fill_slots()
                if not self._waiting and not self._busy():
                    if (job := next(self._jobs, None)) is None:
                        return
                    self._waiting.append(job)
                if self._slots:
                    had_room = time.monotonic()
                    yield from self._wait()
                elif self._is_hopeless() or time.monotonic() - had_room > MACHINES_LIMIT:
                    raise ClusterError(f"There is no machine to run cells on: {self._last_failure}.")
                else:
                    time.sleep(TICK)
        finally:
            for slot in list(self._slots.values()):
                self._remove(slot)
            ray.kill(self._board)

    def _busy(self) -> list[_Slot]:
        return [slot for slot in self._slots.values() if slot.started is not None]

    def _next_job(self) -> Job | None:
        return self._waiting.popleft() if self._waiting else next(self._jobs, None)

    def _fill_slots(self) -> None:
        """Start a worker for each job that waits for one, as far as there is room; jobs are drawn for that."""
        starting = len(self._slots) - len(self._busy())
        taken = Counter(slot.machine for slot in self._slots.values())
        for machine, resources in self._machines.items():
            failing = self._failed_starts[machine] >= STARTS_IN_A_ROW
            room = 0 if failing else self._executor.share.room(resources)
            for _ in range(room - taken[machine]):
                if starting >= len(self._waiting):
                    if (job := next(self._jobs, None)) is None:
                        return
                    self._waiting.append(job)
                if starting < len(self._waiting):
                    self._start(machine, room)
                    starting += 1

    def _start(self, machine: str, workers_here: int) -> None:
        share = self._executor.share
        options = {
            "num_cpus": share.cpus,
            "num_gpus": share.gpus,
            "memory": share.memory,
            "max_restarts": 0,  # Ray would also retry a job that takes its worker down
            "scheduling_strategy": NodeAffinitySchedulingStrategy(machine, soft=False),
            "runtime_env": {"env_vars": dict(self._executor.env)},
        }
        worker = ray.remote(WorkerActor).options(**options)
        actor = worker.remote(self._executor, workers_here, self._board)
        number = next(number for number in range(len(self._slots) + 1) if number not in self._slots)
        self._slots[number] = _Slot(number, machine, actor, actor.__ray_ready__.remote())

    def _proceed(self, slot: _Slot) -> Generator[Event, None, None]:
        """The next job for a worker that is ready; without one it ends."""
        if (job := self._next_job()) is None:
            self._remove(slot)
        else:
            slot.job, slot.started, slot.progress, slot.unavailable = job, time.monotonic(), None, False
            slot.awaited = slot.actor.run.remote(job.key, pickle.dumps(job.payload))
            yield Started(job.key, slot.number)

    def _wait(self) -> Generator[Event, None, None]:
        """Wait a moment for the workers, and handle all answers that have arrived."""
        slots = {slot.awaited: slot for slot in self._slots.values()}
        ray.wait(list(slots), num_returns=1, timeout=TICK, fetch_local=False)
        for answer in ray.wait(list(slots), num_returns=len(slots), timeout=0, fetch_local=False)[0]:
            yield from self._on_answer(slots[answer])

    def _on_answer(self, slot: _Slot) -> Generator[Event, None, None]:
        try:
            answer = ray.get(slot.awaited)
        except ActorUnavailableError:  # Ray will know
            slot.unavailable, slot.awaited = True, slot.actor.__ray_ready__.remote()
        except RayError as error:
            yield from self._on_exit(slot, error)
        else:
            if slot.started is None:
                self._failed_starts[slot.machine] = 0
                yield from self._proceed(slot)
            elif slot.unavailable:  # it is alive, but how its job ended is lost
                self._remove(slot)
                yield from self._retry(slot)
            else:
                yield from self._on_end(slot, *answer)

    def _on_end(self, slot: _Slot, message: bytes, unfit: bool) -> Generator[Event, None, None]:
        """A job ended by itself."""
        match outcome_of(message):
            case "done", result:
                yield Finished(slot.job.key, result)
            case _, status, reason, trace:
                yield slot.lost(status, reason, trace)
        if unfit:
            self._remove(slot)
        else:
            yield from self._proceed(slot)

    def _on_exit(self, slot: _Slot, error: RayError) -> Generator[Event, None, None]:
        """A worker is gone, or its answer is."""
        self._remove(slot)
        self._machines = alive()
        machine_lives = slot.machine in self._machines
        if slot.started is None:
            self._failed_starts[slot.machine] += 1
            if machine_lives:
                self._last_failure = f"a worker cannot start: {last_line(error)}"
        elif isinstance(error, OutOfMemoryError):
            yield slot.lost(
                "oom", "Ray ended the worker, because its machine was running out of memory", last_line(error)
            )
        elif isinstance(error, ActorDiedError | RayTaskError) and machine_lives:
            reason = "the worker process died: it crashed, exited or was killed; Ray's logs may say more"
            yield slot.lost("error", reason, last_line(error))
        else:
            yield from self._retry(slot)

    def _retry(self, slot: _Slot) -> Generator[Event, None, None]:
        self._losses[slot.job.key] += 1
        step = (slot.progress or {}).get("step")
        reason = f"lost with its machine {'' if step is None else f'at step {step}, '}after {slot.seconds:.0f} s"
        if self._losses[slot.job.key] > RETRIES:
            yield slot.lost("error", f"{reason}, in attempt {RETRIES + 1} of {RETRIES + 1}")
        else:
            self._waiting.appendleft(slot.job)
            yield Retried(slot.job.key, reason)

    def _take_progress(self) -> Generator[Event, None, None]:
        if not ray.wait([self._reports], timeout=0)[0]:
            return
        reports: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(RayError):  # progress is only shown
            reports = ray.get(self._reports)
        self._reports = self._board.take.remote()
        for slot in self._busy():
            if data := reports.get(slot.job.key):
                slot.progress = {**(slot.progress or {}), **data}
                yield Progress(slot.job.key, data)

    def _end_overdue(self) -> Generator[Event, None, None]:
        for slot in self._busy():
            limit = slot.job.timeout
            if limit is not None and slot.seconds > limit and not slot.unavailable:
                self._remove(slot)
                yield slot.lost("timeout", f"the job ran longer than its limit of {limit:g} s")

    def _is_hopeless(self) -> bool:
        """Whether workers cannot start on any machine that has room."""
        useful = [machine for machine, found in self._machines.items() if self._executor.share.room(found)]
        return bool(useful) and all(self._failed_starts[machine] >= STARTS_IN_A_ROW for machine in useful)

    def _remove(self, slot: _Slot) -> None:
        del self._slots[slot.number]
        ray.kill(slot.actor)  # which ends what its process started, too
