"""A grid through an executor into a store: from what was asked for, to cells, to records."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from bench import allocator, freezing, index, models, profiles, registry, sources, suites
from bench.cell import Assignment, new_record, now
from bench.cell_locks import CellLocks
from bench.errors import UsageError
from bench.estimate import Estimator
from bench.executors import Executor, Finished, Job, Lost, Progress, Retried, Started
from bench.executors.local import LocalExecutor
from bench.grid import Cell, code_version
from bench.makespan import Makespan
from bench.measure.environment import anonymous
from bench.method import Method
from bench.order import in_order
from bench.profiles.probe import probe
from bench.recipes import Book
from bench.record import Record, Status
from bench.registry import Registry, build_method, changed_params
from bench.specs import Spec, parse_all, split_list
from bench.store import NewerRecord, Stamp, Store, StoreError
from bench.suites import Suite
from bench.task import Task

EXECUTORS = LOCAL, RAY = "local", "ray"
TARGET, SETUP = "bench.cell:run", "bench.warming:warm_up"
OTHERS_SECONDS = 1.0  # between two looks at whether another run is through with a cell
Fetching = Callable[[str, int, int | None], None]  # what, bytes so far, bytes in all where known


@dataclass(frozen=True)
class Request:
    """What the user asked for. None: as the suite says."""

    suite: Suite
    methods: Sequence[Spec]
    tasks: Sequence[str]
    seeds: Sequence[int]
    model: str
    profile: str = profiles.AUTO
    results: Path = Path("results/local")
    mirror: Path | None = None
    plugins: Sequence[Path] = ()
    workers: int | None = None
    timeout: float | None = None
    force: bool = False
    keep_adapters: bool = False
    frozen: Path | None = None  # a file of bench.freezing that the run is held to
    recipes: Path | None = None  # a folder of tuned recipes that go before those that methods ship
    tuned: bool = True  # whether tuned recipes are used at all
    executor: str = LOCAL
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise UsageError(f"There is no executor {self.executor!r}; there are: {', '.join(EXECUTORS)}.")
        if self.ray_address is not None and self.executor != RAY:
            raise UsageError("--ray-address goes with --executor ray.")
        if self.executor == RAY and find_spec("ray") is None:
            raise UsageError("--executor ray needs Ray, which is not installed: pip install 'pasta-bench[ray]'.")

    @property
    def elsewhere(self) -> bool:
        """Whether cells run on other machines, which this one says nothing about."""
        return self.executor == RAY and self.ray_address is not None


def ask(
    *,
    suite: str | None = None,
    preset: str | None = None,
    methods: str | None = None,
    tasks: str | None = None,
    seeds: Sequence[int] | None = None,
    model: str | None = None,
    executor: str = LOCAL,
    ray_address: str | None = None,
    **others: Any,
) -> Request:
    """A request from what was given, the rest as the suite or preset has it; others: further fields of `Request`.

    methods and tasks are lists in the command line's form, such as "pasta,lora[r=4]".

    Raises:
        UsageError: for a suite that is not there, or a list that cannot be read or is empty.
    """
    chosen = suite_of(suite, preset)
    request = Request(
        suite=chosen,
        methods=parse_all(methods if methods is not None else ",".join(chosen.methods)),
        tasks=list(dict.fromkeys(split_list(tasks))) if tasks is not None else chosen.tasks,
        seeds=list(seeds) if seeds is not None else chosen.seeds,
        model=model or chosen.model,
        executor=executor,
        ray_address=ray_address or (os.environ.get("RAY_ADDRESS") if executor == RAY else None),
        **others,
    )
    if not request.tasks:
        raise UsageError("No task was given; `python -m bench list tasks` shows them.")
    if not request.seeds:
        raise UsageError("No seed was given.")
    return request


@dataclass(frozen=True)
class Plan:
    """The cells of a grid, what is finished already, and what a worker needs for each of the others.

    stamps: of every cell's record, taken before it was read. damaged: a sentence on each record that is none.
    """

    cells: list[Cell]
    finished: dict[str, Record]
    assignments: dict[str, Assignment]
    workers: int
    why_profile: str
    stamps: dict[str, Stamp | None] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    @cached_property
    def pending(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.id not in self.finished]

    def rows(self, estimator: Estimator) -> list[dict[str, Any]]:
        """A row a cell, its keys those of the tables; the estimate is None where it is unknown or not needed."""
        return [
            {
                "cell": id,
                "method": cell.method,
                "method_params": cell.variant,
                "task": cell.task,
                "model": cell.model,
                "profile": cell.profile.name,
                "preset": cell.preset,
                "seed": cell.seed,
                "finished": id in self.finished,
                "estimated_seconds": None if id in self.finished else estimator.guess(cell),
            }
            for cell in self.cells
            for id in (cell.id,)
        ]


@dataclass
class Outcome:
    """What became of a grid: one record a cell that was reached, by id, and whether it was cut short."""

    records: dict[str, Record] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def failed(self) -> list[Record]:
        return [record for record in self.records.values() if record.failed]


class Display(Protocol):
    """Shows how a grid is getting on."""

    def started(self, cell: Cell) -> None: ...

    def progressed(self, cell: Cell, data: Mapping[str, float]) -> None: ...

    def retried(self, cell: Cell, reason: str) -> None: ...

    def ended(self, record: Record) -> None: ...


def fetch(
    references: Mapping[str, str], mirror: Path | None, told: Fetching | None = None
) -> dict[str, sources.Resolved]:
    """Bring every source here, by the name it goes by.

    Raises:
        SourceError: for the first that cannot be had.
    """

    def resolve(name: str, reference: str) -> sources.Resolved:
        report = (lambda done, total: told(name, done, total)) if told else None
        return sources.resolve(reference, mirror=mirror, report=report)

    return {name: resolve(name, reference) for name, reference in references.items()}


def references(tasks: Sequence[str], model: str, plugins: Sequence[Path] = ()) -> dict[str, str]:
    """The pinned reference of a model and of each task, by name."""
    found = registry.tasks(plugins)
    model_found = models.find(model)
    return {
        f"model {model_found.name}": model_found.source,
        **{f"task {task}": found.get(task).plugin.source for task in tasks},
    }


def plan(request: Request, told: Fetching | None = None) -> Plan:
    """Turn a request into cells: everything is checked and fetched before anything runs.

    Cells come seed by seed, so that a grid cut short has compared all methods on some seeds.

    Raises:
        BenchError: for wrong names, parameters, profiles and sources, for what a frozen file does not allow, and for a
            record that only a newer bench reads.
    """
    frozen = freezing.load(request.frozen) if request.frozen else None
    if request.frozen and frozen:
        freezing.require_environment(request.frozen, frozen)
    methods, tasks = registry.methods(request.plugins), registry.tasks(request.plugins)
    built = [(spec.name, build_method(methods, spec)) for spec in request.methods]
    _check_recipes(request.suite, methods, tasks)
    machine = probe()
    if request.elsewhere and request.profile != profiles.AUTO:  # those machines are held to it by bench.remote
        profile = profiles.load(request.profile)
        why = f"{profile.name}: on the machines of the Ray cluster"
    else:
        profile, why = profiles.resolve(request.profile, machine)
    if request.workers is not None:
        if request.workers < 1:
            raise UsageError(f"--workers {request.workers}: at least one worker is needed.")
        profile = profile.with_workers(request.workers)
        if not request.elsewhere:
            profiles.require(profile, machine)
    model = models.find(request.model)
    resolved = fetch(references(request.tasks, request.model, request.plugins), request.mirror, told)
    model_files = resolved[f"model {model.name}"]
    books = books_of(request, methods)
    results = request.results.resolve()
    turns = results / "logs" / "turns" if profile.exclusive and profile.workers > 1 else None
    # Once a method and task, and not once a seed: it reads their files.
    code = {
        (task, name): code_version([methods.get(name).file, tasks.get(task).file])
        for task in request.tasks
        for name, _ in built
    }
    cells: dict[str, Cell] = {}
    assignments: dict[str, Assignment] = {}
    for seed in request.seeds:
        for task in request.tasks:
            data = resolved[f"task {task}"]
            for name, method in built:
                variant = changed_params(method.params)
                cell = Cell(
                    method=name,
                    params=method.params.model_dump(mode="json"),
                    variant=variant,
                    task=task,
                    task_source=tasks.get(task).plugin.source,
                    task_revision=data.revision,
                    model=model.name,
                    model_source=model.source,
                    model_revision=model_files.revision,
                    profile=profile,
                    preset=request.suite.name,
                    budget=request.suite.budget,
                    recipe=books[name].settings(variant, task, request.suite),
                    seed=seed,
                    code=code[task, name],
                )
                id = cell.id
                cells[id] = cell
                assignments[id] = Assignment(
                    cell=cell,
                    data=data.path,
                    model=model_files.path,
                    plugins=tuple(request.plugins),
                    workers=profile.workers,
                    results=results,
                    keep_adapter=request.keep_adapters,
                    turns=turns,
                )
    if request.frozen and frozen:
        freezing.require_cells(request.frozen, frozen, cells.values())
    store = Store(request.results)
    stamps = {key: store.stamp(key) for key in cells}
    done, damaged = _look_at(store, [key for key, stamp in stamps.items() if stamp])
    return Plan(list(cells.values()), {} if request.force else done, assignments, profile.workers, why, stamps, damaged)


def together(plans: Sequence[Plan]) -> Plan:
    """Plans of one profile and results folder as one, cells in the plans' order; at least one plan."""
    first = plans[0]
    return Plan(
        list({cell.id: cell for each in plans for cell in each.cells}.values()),
        {key: record for each in plans for key, record in each.finished.items()},
        {key: assignment for each in plans for key, assignment in each.assignments.items()},
        first.workers,
        first.why_profile,
        {key: stamp for each in plans for key, stamp in each.stamps.items()},
        list(dict.fromkeys(fault for each in plans for fault in each.damaged)),
    )


def books_of(request: Request, methods: Registry[Method]) -> dict[str, Book]:
    """Where the tuned recipes of each method that is asked for are, by its name.

    Raises:
        UsageError: if the folder of the request is none.
    """
    if request.recipes is not None and not request.recipes.is_dir():
        raise UsageError(f"--recipes {request.recipes}: there is no such folder; `python -m bench tune` writes one.")
    names = dict.fromkeys(spec.name for spec in request.methods)
    return {
        name: Book(name, methods.get(name).file, request.recipes) if request.tuned else Book(name, None)
        for name in names
    }


def _look_at(store: Store, cell_ids: Sequence[str]) -> tuple[dict[str, Record], list[str]]:
    """The records of those cells that are finished, and a sentence on each record that is damaged."""
    finished = index.finished(store, cell_ids)
    damaged: list[str] = []
    for cell_id in cell_ids:
        if cell_id not in finished:
            try:
                store.read(cell_id)
            except NewerRecord:
                raise
            except StoreError as error:
                damaged.append(str(error))
    return finished, damaged


def _check_recipes(suite: Suite, methods: Registry[Method], tasks: Registry[Task]) -> None:
    """Raise a UsageError if the suite has a recipe for a task or a method that there is not."""
    for task in suite.task_recipes:
        tasks.get(task)
    for recipes in (suite.recipes, *suite.task_recipes.values()):
        for method in recipes:
            methods.get(method)


def local_executor(workers: int, logs: Path | None = None) -> LocalExecutor:
    """Warm worker processes on this machine, with the environment that cells are measured in."""
    return LocalExecutor(TARGET, workers, logs, env=worker_environment(), setup=SETUP)


def worker_environment() -> dict[str, str]:
    """What a worker's environment has beside this process's own."""
    # What a run needs was fetched by the driver; a worker that reached for the hub would be a fault.
    env = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    env |= waiting_threads()
    if "GLIBC_TUNABLES" not in os.environ:
        env["GLIBC_TUNABLES"] = allocator.tunables()
    return env


def waiting_threads() -> dict[str, str]:
    """The environment in which a process's threads wait for each other in a short loop; it must be set beforehand.

    GNU OpenMP's threads do so for long; where something else runs on the machine, that keeps the very thread that is
    waited for off its core. A short loop costs nothing and then sleeps.
    """
    return {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000")}


def execute(
    planned: Plan,
    executor: Executor,
    store: Store,
    display: Display,
    timeout: float | None = None,
    *,
    guess: Callable[[Cell], float | None] = lambda cell: None,
    makespan: Makespan | None = None,
    payload: Callable[[Assignment], Any] = lambda assignment: assignment,
    stores: bool = False,
) -> Outcome:
    """Run the cells that are not finished. A cell that fails in whatever way leaves a record, and the rest go on.

    A cell that another run on the same results folder is at is left to that run, and its record taken; should that
    run die, the cell is run here.

    On KeyboardInterrupt the workers are ended, the cells that were running are recorded as interrupted,
    and what was reached is returned.

    Args:
        guess: seconds that a cell will take, for the order of cells; asked again as the grid goes on.
        makespan: told what happens when.
        payload: what the executor's target is given for an assignment.
        stores: whether records are stored here, since the workers may not see the store; else they write them.

    Raises:
        StoreError: when a record cannot be written; the workers are ended, and what was written stays.
    """
    makespan = makespan or Makespan(planned.workers)
    cells = {cell.id: cell for cell in planned.pending}
    outcome = Outcome(dict(planned.finished))
    running: dict[str, str] = {}  # id -> when it started
    before = {key: planned.stamps[key] if key in planned.stamps else store.stamp(key) for key in cells}
    retries: defaultdict[str, list[str]] = defaultdict(list)  # id -> why earlier attempts were lost

    def written(key: str) -> Record | None:
        """The record that a cell got since the plan was made, whoever wrote it."""
        return store.sound(key) if store.stamp(key) != before[key] else None

    def end(key: str, record: Record) -> None:
        running.pop(key, None)
        makespan.cell_ends(key, record)
        outcome.records[key] = record
        display.ended(record)
        locks.give_back(key)

    def finish(key: str, record: Record) -> None:
        if stores or retries[key] or store.stamp(key) == before[key]:  # the worker could not, or not all of it
            record.retries = retries[key]
            store.write(record)
        end(key, record)

    def lose(key: str, status: Status, reason: str, detail: str | None, step: int | None) -> None:
        # The worker may have died after writing its record and before delivering it: then nothing is lost.
        record = written(key)
        if record is None:
            record = new_record(cells[key])
            record.status, record.reason = status, anonymous(reason)
            record.traceback = anonymous(detail) if detail else None
            record.started_at, record.last_step = running.get(key, now()), step
            record.retries = retries[key]
            # Breaking a forced run off says nothing about the cell: a finished record stays.
            if status != "interrupted" or store.finished(key) is None:
                store.write(record)
        end(key, record)

    def jobs(of: list[Cell], elsewhere: list[Cell]) -> Iterator[Job]:
        """A job for each cell that is to be run here; those that another run is at are put into `elsewhere`."""
        for cell in in_order(of, planned.workers, guess):
            if not locks.take(cell.id):
                elsewhere.append(cell)
            elif (record := written(cell.id)) is not None and record.status != "interrupted":
                end(cell.id, record)  # another run has been quicker
            else:
                before[cell.id] = store.stamp(cell.id)
                yield Job(cell.id, payload(planned.assignments[cell.id]), timeout)

    makespan.run_begins()
    with CellLocks(store.root) as locks:
        store.sweep()
        left = list(cells.values())
        try:
            while left:
                elsewhere: list[Cell] = []
                with closing(executor.run(jobs(left, elsewhere))) as events:
                    for event in events:
                        match event:
                            case Started(key, worker):
                                running[key] = now()
                                makespan.cell_begins(key, worker)
                                display.started(cells[key])
                            case Progress(key, data):
                                display.progressed(cells[key], data)
                            case Finished(key, result):
                                finish(key, Record(**result))
                            case Retried(key, reason):
                                running.pop(key, None)
                                retries[key].append(reason)
                                makespan.cell_is_lost(key)
                                display.retried(cells[key], reason)
                            case Lost(key=key, status=status, reason=reason, progress=last, log_tail=tail):
                                lose(key, status, reason, tail, (last or {}).get("step"))
                left = elsewhere
                makespan.waits()
                while left and not any(locks.take(cell.id) for cell in left):
                    time.sleep(OTHERS_SECONDS)
        except KeyboardInterrupt:
            outcome.interrupted = True
            for key in list(running):
                lose(key, "interrupted", "the run was interrupted", None, None)
    makespan.run_ends()
    return outcome


def suite_of(name_or_path: str | None, preset: str | None) -> Suite:
    """The suite of `--suite` or `--preset`.

    Raises:
        UsageError: if both are given, or the preset is none.
    """
    if name_or_path and preset:
        raise UsageError("Give --suite or --preset, not both: a preset is a suite.")
    if preset and preset not in suites.PRESETS:
        raise UsageError(f"There is no preset {preset!r}{registry.suggest(preset, suites.PRESETS)}")
    return suites.load(name_or_path or preset or suites.PRESETS[0])
