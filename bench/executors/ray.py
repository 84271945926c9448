"""Runs jobs on the machines of a Ray cluster, or, without one, on this machine as if it were one.

Ray finds machines, keeps account of their CPUs, GPUs and memory, and tells when one is gone. It runs no job itself: an
actor (:class:`Host`) on a machine keeps one warm worker process, by the very code that :class:`LocalExecutor` has, and
passes its events on. So a job runs in the same process and environment wherever it runs; what it does to its process
(a crash, a lack of memory, its time being up) is told by the same events; and an actor that is gone was not taken down
by its job, but lost with its machine. That is what decides between `Retried` and `Lost`.

Here, and not with Ray, lies the queue: no more jobs are drawn than there is room for, however many there are.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from bench.errors import BenchError, UsageError
from bench.executors import Event, Finished, Job, Lost, Progress, Retried, Started
from bench.executors.local import GRACE, STARTS_PER_JOB, LocalExecutor

RETRIES = 3
"""How often a job is begun again that was lost with its machine, before it is given up."""

LOOK = 2.0
"""Seconds between two looks at which machines there are."""

OPENINGS = 3
"""How many workers in a row may fail to open on a machine before it is left alone."""

MACHINES_LIMIT = 600.0
"""Seconds without any machine that has room before what is left is given up. One that was lost may return."""

KNOCK_LIMIT = 10.0
"""Seconds that a cluster has to answer at its address."""

PROGRESS_INTERVAL = 1.0
"""Seconds between two reports of a job's progress, at the least: hundreds of workers report to one driver."""

WORKERS_HERE = "BENCH_WORKERS_HERE"
"""The environment variable that tells a target how many workers may run on its machine at a time."""

RAYS_OWN_PATHS = ("/ray/thirdparty_files", "/ray/_private/workers")
MIB = 2**20
OBJECT_STORE_BYTES = 128 * MIB  # results are small, and Ray would set a third of the memory aside


class ClusterError(BenchError):
    """A Ray cluster that cannot be reached, or has no room."""


@dataclass(frozen=True)
class Share:
    """What one worker takes of its machine: CPUs, GPUs (a part of one will do) and bytes of memory.

    most: how many workers run on a machine at a time; one with room for fewer is left alone. None: as many as fit.
    """

    cpus: float
    gpus: float = 0.0
    memory: int = 0
    most: int | None = None

    def room(self, resources: Mapping[str, float]) -> int:
        """How many workers a machine with these resources, by Ray's names, can take."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}
        # A third of a GPU three times is one, in floating point, too.
        fits = [int(resources.get(name, 0.0) / need + 1e-3) for name, need in needs.items() if need]
        least = min(fits, default=1)
        return least if self.most is None else self.most if least >= self.most else 0

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPUs", f"{self.gpus:g} GPUs" if self.gpus else "", f"{self.memory // MIB:,} MiB"]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Here:
    """The resources of this machine, for a Ray that is started on it: CPUs, GPUs, bytes of memory."""

    cpus: int
    gpus: int
    memory: int


class RayExecutor:
    """Calls ``target`` for each job in one of many worker processes on many machines.

    Used as a context it stays connected between runs; `run` by itself connects, and leaves.

    target, env, setup: as for :class:`bench.executors.local.LocalExecutor`. Modules must be there on each machine.
    share: what each worker takes.
    address: of a running cluster, as ``ray.init`` takes it; None starts Ray on this machine, and ends it.
    here: this machine's resources in the latter case; None: what Ray finds.
    log_dir: where what workers print goes, on machines that see this folder; elsewhere it stays among Ray's own logs.

    A job that takes its worker down is lost and not tried again. One whose machine is lost is begun again, on another
    or, once it is back, on the same; up to `RETRIES` times.

    Raises:
        UsageError: without Ray.
        ClusterError: on connecting, if there is no such cluster.
    """

    def __init__(
        self,
        target: str,
        share: Share,
        *,
        address: str | None = None,
        here: Here | None = None,
        log_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        setup: str | None = None,
    ) -> None:
        self._share = share
        self._address = address
        self._here = here
        self._kit = _Kit(
            target, setup, log_dir and log_dir.absolute(), dict(env or {}), _paths(), os.environ.get("OMP_NUM_THREADS")
        )
        self._connection = contextlib.ExitStack()
        self._connected = False

    def __enter__(self) -> Self:
        self._connection.enter_context(_connected(self._address, self._here))
        self._connected = True
        return self

    def __exit__(self, *error: object) -> None:
        self._connected = False
        self._connection.close()

    @property
    def workers(self) -> int:
        """How many workers the machines that there are now have room for. It needs the connection.

        Raises:
            ClusterError: if for none.
        """
        machines = _machines()
        room = sum(self._share.room(resources) for resources in machines.values())
        if not room:
            found = "; ".join(_described(resources) for resources in machines.values()) or "no machine at all"
            raise ClusterError(
                f"No machine of the Ray cluster has room: a worker takes {self._share}, "
                f"{self._share.most or 'any number'} on a machine; there is: {found}."
            )
        return room

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        """Run all jobs; see :class:`bench.executors.Executor`."""
        with contextlib.nullcontext() if self._connected else self:
            yield from _Run(self._kit, self._share, iter(jobs)).events()


@dataclass(frozen=True)
class _Kit:
    """How to start a worker on another machine. paths: of modules. omp_num_threads: of the driver's environment."""

    target: str
    setup: str | None
    log_dir: Path | None
    env: dict[str, str]
    paths: list[str]
    omp_num_threads: str | None


class Host:
    """The actor: one worker process on its machine, and how it is getting on.

    Args:
        number: the worker's.
        beside: how many workers the machine may have at a time, this one included.
        groups: how many groups of workers share its cores, one for each GPU. A group's workers keep to its cores.
    """

    def __init__(self, kit: _Kit, number: int, beside: int, groups: int) -> None:
        sys.path[:] = list(dict.fromkeys([*(path for path in kit.paths if Path(path).exists()), *_paths()]))
        # Ray sets it to the CPUs that the actor takes. A worker here must not differ from one on the driver's machine.
        os.environ.pop("OMP_NUM_THREADS", None)
        if kit.omp_num_threads is not None:
            os.environ["OMP_NUM_THREADS"] = kit.omp_num_threads
        _keep_to_group(groups)
        self._jobs: deque[Job] = deque()
        log_dir = kit.log_dir if kit.log_dir is not None and kit.log_dir.is_dir() else _ray_logs()
        self._events = LocalExecutor(
            kit.target,
            1,
            log_dir,
            kit.env | {WORKERS_HERE: str(beside)},
            kit.setup,
            first=number,
            progress_interval=PROGRESS_INTERVAL,
        ).run(iter(self._next, None))

    def up(self) -> bool:
        """Answers once the actor is there."""
        return True

    def run(self, key: str, payload: bytes, timeout: float | None) -> Generator[bytes, None, None]:
        """Run one job; its events, pickled, the last of which is a `Finished` or a `Lost`."""
        self._jobs.append(Job(key, _Pickled(payload), timeout))
        for event in self._events:
            yield pickle.dumps(event)
            if isinstance(event, Finished | Lost):
                return

    def end(self) -> bool:
        """End the worker and all that it started, whatever it is doing. (`run` is in another thread, and waits.)"""
        for worker in psutil.Process().children():
            with contextlib.suppress(OSError):
                os.killpg(worker.pid, signal.SIGKILL)  # each leads a group of its own
        return True

    def _next(self) -> Job | None:
        # The executor draws a job only when `run` goes on with its events, and `run` has just brought one then.
        return self._jobs.popleft() if self._jobs else None


class _Pickled:
    """A pickled object that becomes the object itself when it is pickled and unpickled again.

    So the host hands a payload on without unpickling it, for which it would need torch, and more.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._content,)


@dataclass
class _Task:
    """A job that was drawn and pickled."""

    job: Job
    payload: bytes
    losses: int = 0  # with machines
    failed_starts: int = 0


@dataclass
class _Seat:
    """A place for a worker on a machine: its host opens, then runs one task after another."""

    number: int
    machine: str
    host: Any
    awaited: Any
    """What Ray is asked for next: that the host is up, or the task's next event."""
    task: _Task | None = None
    began: float | None = None
    progress: dict[str, Any] | None = None
    opening: bool = True

    def lost_with_machine(self) -> str:
        assert self.began is not None
        step = (self.progress or {}).get("step")
        at = "" if step is None else f"at step {step}, "
        return f"lost with its machine {at}after {time.monotonic() - self.began:.0f} s"


@dataclass
class _Run:
    """One run. Tasks wait here; a seat is opened for a task that waits, and gets one when it is up."""

    kit: _Kit
    share: Share
    jobs: Iterator[Job]
    _seats: dict[int, _Seat] = field(default_factory=dict)
    _waiting: deque[_Task] = field(default_factory=deque)
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

    def _draw(self) -> Generator[Event, None, _Task | None]:
        """The next task: one that waits, or a new one; None after the last."""
        return self._waiting.popleft() if self._waiting else (yield from self._draw_new())

    def _draw_new(self) -> Generator[Event, None, _Task | None]:
        """The next job that can be sent to a host; None after the last."""
        for job in self.jobs:
            try:
                return _Task(job, pickle.dumps(job.payload))
            except Exception as exc:  # noqa: BLE001 - pickling runs the payload's own code, which may raise anything
                yield Lost(job.key, "error", f"the payload cannot be pickled: {_one_line(exc)}", None, 0.0, "")
        return None

    def _open_seats(self) -> Generator[Event, None, None]:
        """Open a seat for each task that waits for one, as far as there is room; draw tasks for that."""
        if time.monotonic() - self._looked > LOOK:
            self._machines = _machines()
            self._looked = time.monotonic()
        opening = sum(seat.opening for seat in self._seats.values())
        taken = Counter(seat.machine for seat in self._seats.values())
        for machine, resources in self._machines.items():
            room = 0 if self._failed_openings[machine] >= OPENINGS else self.share.room(resources)
            for _ in range(room - taken[machine]):
                if opening >= len(self._waiting):
                    if (task := (yield from self._draw_new())) is None:
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
                max_task_retries=0,  # what is lost comes back to `_Run`, which decides
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
                self._last_failure = f"a worker could not be opened: {_one_line(error)}"
            elif isinstance(error, OutOfMemoryError):
                yield _lost(seat, "oom", "Ray ended the worker, because its machine was running out of memory")
            elif isinstance(error, RayTaskError):
                yield _lost(seat, "error", f"the worker's host failed: {_one_line(error)}")
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
            yield _lost(seat, "error", f"what the job sent cannot be unpickled: {_one_line(exc)}")
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


@contextlib.contextmanager
def _connected(address: str | None, here: Here | None) -> Iterator[None]:
    """Connected to a cluster, or to a Ray of this machine's own, which ends with the context."""
    # Set before Ray is imported: nothing is reported to its makers, and what it starts computes with full priority
    # and, where it takes no GPU, sees the GPUs as any process does.
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_kill_child_processes_on_worker_exit": "0",  # they end themselves, and with them what they started
        "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # those of hosts that nobody listens to any more
    }.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UsageError("Ray is not installed: pip install 'pasta-bench[ray]'.") from None
    if ray.is_initialized():  # by the notebook that runs this: it is not ours to end
        yield
        return
    if address is not None and address.startswith("ray://"):
        raise UsageError(
            f"{address}: give the address of the cluster itself (HOST:6379, or auto), on one of its machines; "
            "Ray's client connection cannot carry a run."
        )
    if address is not None:
        _knock(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL", "include_dashboard": False}
    if address is None:
        quiet |= {"object_store_memory": OBJECT_STORE_BYTES}
        if here is not None:
            quiet |= {"num_cpus": here.cpus, "num_gpus": here.gpus, "_memory": here.memory}
    try:
        with _own_signals():
            ray.init(address or "local", **quiet)
            # Ray prints what befalls its machines on standard output, whatever it is told above; events say it.
            ray._private.worker._worker_logs_enabled = False
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        what = "Ray cannot be started here" if address is None else f"There is no Ray cluster to be had at {address}"
        raise ClusterError(f"{what}: {_one_line(error)}") from None
    try:
        yield
    finally:
        with _own_signals():
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise a ClusterError if nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=KNOCK_LIMIT).close()
        except (OSError, OverflowError) as error:
            raise ClusterError(f"There is no Ray cluster to be had at {address}: {_one_line(error)}.") from None


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's answer to SIGTERM, in whose place Ray puts its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _machines() -> dict[str, dict[str, float]]:
    """The resources of each machine that is alive, by Ray's id of it."""
    import ray

    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def _described(resources: Mapping[str, float]) -> str:
    gpus = f", {resources['GPU']:g} GPUs" if resources.get("GPU") else ""
    return f"{resources.get('CPU', 0):g} CPUs{gpus}, {resources.get('memory', 0) / MIB:,.0f} MiB"


def _paths() -> list[str]:
    """Where modules are found, without the folders that Ray adds for itself, with its own copies of libraries."""
    return [path or str(Path.cwd()) for path in sys.path if not path.endswith(RAYS_OWN_PATHS)]


def _keep_to_group(groups: int) -> None:
    """Keep this process, and what it starts, to the cores that belong to its GPU."""
    if groups > 1 and hasattr(os, "sched_setaffinity"):
        import ray

        cores = sorted(os.sched_getaffinity(0))
        group = int(ray.get_gpu_ids()[0]) % groups
        own = cores[group * len(cores) // groups : (group + 1) * len(cores) // groups]
        os.sched_setaffinity(0, own or cores)


def _ray_logs() -> Path:
    """Ray's own folder for logs on this machine."""
    from ray._private.worker import global_worker

    with contextlib.suppress(AttributeError):
        return Path(global_worker.node.get_logs_dir_path())
    return Path(tempfile.gettempdir())


def _lost(seat: _Seat, status: Any, reason: str) -> Lost:
    assert seat.task is not None
    seconds = 0.0 if seat.began is None else time.monotonic() - seat.began
    return Lost(seat.task.job.key, status, reason, seat.progress, seconds, "")


def _one_line(error: BaseException) -> str:
    lines: Sequence[str] = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    # Of a traceback in a message the last line says what was wrong.
    return (lines[-1] if lines else type(error).__name__)[:300]
