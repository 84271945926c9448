"""From what was asked for to cells: everything is checked and fetched before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import lockfile, profiles
from bench.errors import StoreError, UsageError
from bench.forecast.estimate import Estimator
from bench.grid import models
from bench.grid.cell import Cell, code_version
from bench.grid.recipes import Book
from bench.grid.suites import Suite
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.registry import Registry
from bench.plugins.specs import build_method, changed_params
from bench.plugins.task import Task
from bench.profiles.probe import probe
from bench.records.record import Record
from bench.records.store import NewerRecord, Stamp, Store
from bench.runner.request import Request
from bench.sources.resolve import Resolved, resolve
from bench.train.cell import Assignment

Fetching = Callable[[str, int, int | None], None]  # what, bytes so far, bytes in all where known


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


def fetch(references: Mapping[str, str], mirror: Path | None, told: Fetching | None = None) -> dict[str, Resolved]:
    """Bring every source here, by the name it goes by.

    Raises:
        SourceError: for the first that cannot be had.
    """

    def found(name: str, reference: str) -> Resolved:
        on_progress = (lambda done, total: told(name, done, total)) if told else None
        return resolve(reference, mirror=mirror, on_progress=on_progress)

    return {name: found(name, reference) for name, reference in references.items()}


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
    held_to = (request.frozen, lockfile.load(request.frozen)) if request.frozen else None
    if held_to:
        lockfile.require_environment(*held_to)
    methods, tasks = registry.methods(request.plugins), registry.tasks(request.plugins)
    built = [(spec.name, build_method(methods, spec)) for spec in request.methods]
    _check_recipes(request.suite, methods, tasks)
    machine = probe()
    if request.elsewhere and request.profile != profiles.AUTO:  # those machines are held to it by bench.runner.remote
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
                )
    if held_to:
        lockfile.require_cells(*held_to, cells.values())
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
    if not request.tuned:
        return {spec.name: Book(spec.name, None) for spec in request.methods}
    return {spec.name: Book(spec.name, methods.get(spec.name).file, request.recipes) for spec in request.methods}


def _look_at(store: Store, cell_ids: Sequence[str]) -> tuple[dict[str, Record], list[str]]:
    """The records of those cells that are finished, and a sentence on each record that is damaged."""
    finished: dict[str, Record] = {}
    damaged: list[str] = []
    for cell_id in cell_ids:
        try:
            record = store.read(cell_id)
        except NewerRecord:
            raise
        except StoreError as error:
            damaged.append(str(error))
        else:
            if record is not None and record.status == "ok":
                finished[cell_id] = record
    return finished, damaged


def _check_recipes(suite: Suite, methods: Registry[Method], tasks: Registry[Task]) -> None:
    """Raise a UsageError if the suite has a recipe for a task or a method that there is not."""
    for task in suite.task_recipes:
        tasks.get(task)
    for recipes in (suite.recipes, *suite.task_recipes.values()):
        for method in recipes:
            methods.get(method)
