"""From a request to cells: everything is checked and fetched before anything runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from itertools import chain, product
from pathlib import Path

from bench import lockfile, profiles
from bench.errors import StoreError, UsageError
from bench.grid import models
from bench.grid.cell import Cell, code_version
from bench.grid.recipes import Overrides
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.specs import build_method, changed_params, method_label
from bench.profiles import Profile
from bench.profiles.probe import probe
from bench.records.record import Record
from bench.records.store import Fingerprint, NewerRecord, Store
from bench.runner import preflight
from bench.runner.request import Request
from bench.sources.references import pinned, portable
from bench.sources.resolve import Resolved, resolve
from bench.train.assignment import Assignment

Fetching = Callable[[str, int, int | None], None]  # what, bytes so far, bytes in all where known


@dataclass(frozen=True)
class Plan:
    """The cells of a grid: what workers need for each, by id, and the records of those that are finished.

    fingerprints: of every cell's record, taken before it was read. damaged: a sentence for each unreadable record.
    notes: what the user should know.
    """

    assignments: dict[str, Assignment]
    finished: dict[str, Record]
    workers: int
    why_profile: str
    fingerprints: dict[str, Fingerprint | None] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def cells(self) -> list[Cell]:
        return [assignment.cell for assignment in self.assignments.values()]

    @cached_property
    def pending(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.id not in self.finished]


def fetch(
    references: Mapping[str, str], mirror: Path | None, on_progress: Fetching | None = None
) -> dict[str, Resolved]:
    """Download the sources that are not here yet; what each resolved to, by name. Raises SourceError."""

    def found(name: str, reference: str) -> Resolved:
        of_one = (lambda done, total: on_progress(name, done, total)) if on_progress else None
        return resolve(reference, mirror=mirror, on_progress=of_one)

    return {name: found(name, reference) for name, reference in references.items()}


def references(tasks: Sequence[str], model: str, plugins: Sequence[Path] = ()) -> dict[str, str]:
    """The pinned reference of a model and of each task, by name."""
    known, found = registry.tasks(plugins), models.find(model)
    return {
        f"model {found.name}": found.source,
        **{f"task {task}": known.get(task).plugin.source for task in tasks},
    }


def plan(*requests: Request, on_progress: Fetching | None = None) -> Plan:
    """Turn requests into cells, which may differ in suites, methods, tasks and seeds; all is checked and fetched first.

    Raises:
        BenchError: for wrong names, parameters, profiles and sources, for what the lock file does not allow, and for a
            record that only a newer bench reads.
    """
    request = requests[0]
    path = request.options.frozen and Path(request.options.frozen)
    lock = (path, lockfile.load(path)) if path else None
    if lock:
        lockfile.require_environment(*lock)
    methods = registry.methods(request.plugins)
    built = [[build_method(methods, spec) for spec in each.methods] for each in requests]
    preflight.check(requests, methods, registry.tasks(request.plugins))
    profile, why = _profile(request)
    tasks = list(dict.fromkeys(task for each in requests for task in each.tasks))
    found = fetch(references(tasks, request.model, request.plugins), request.mirror, on_progress)
    for name in tasks:
        data = found[f"task {name}"].path
        if request.results.resolve().is_relative_to(data):
            raise UsageError(
                f"The results folder {request.results} is inside {data}, whose whole content identifies the data of "
                f"{name}: keep the data in a folder of their own, or give other --results."
            )

    @cache  # once a method and task, not once a seed: it reads files
    def version(method: str, task: str) -> str:
        return code_version(registry.code_files(method, task, request.plugins))

    assignments = {
        made.cell.id: made
        for each, of_request in zip(requests, built, strict=True)
        for made in _assignments(each, of_request, profile, found, version)
    }
    if lock:
        lockfile.require_cells(*lock, (made.cell for made in assignments.values()))
    store = Store(request.results)
    fingerprints = {key: store.fingerprint(key) for key in assignments}
    finished, damaged = _look_at(store, [key for key, found in fingerprints.items() if found])
    notes = [each.note for each in found.values() if each.note]
    finished = {} if request.options.force else finished
    pending = [each for key, each in assignments.items() if key not in finished]
    notes += _check_files(request, chain.from_iterable(built), pending) if pending else []
    return Plan(assignments, finished, profile.workers, why, fingerprints, damaged, notes)


def _check_files(request: Request, built: Iterable[Method], pending: Sequence[Assignment]) -> list[str]:
    """Check the files of pending cells; see `preflight.check_files`."""
    from bench.forecast.parameters import frame  # loads torch
    from bench.train.data import read
    from bench.train.fit import Model

    known, wanted = registry.tasks(request.plugins), {made.cell.label for made in pending}
    labels = {method_label(each.name, changed_params(each.params)): each for each in built}
    tasks = []
    for name, data in {made.cell.task: made.data for made in pending}.items():
        of_task = [each for label, each in labels.items() if f"{label} on {name}" in wanted]
        task = known.get(name).plugin()
        tasks.append(preflight.Checked(known.get(name), task, partial(read, task, data), of_task))
    metrics = registry.metrics(request.plugins)
    here = Resolved(pending[0].model, pending[0].cell.model_revision)
    with contextlib.redirect_stdout(sys.stderr):  # a task may print, and standard output is the command's
        of_model = frame(models.find(request.model), lambda source: here)
        preflight.check_parameters(of_model, labels.values(), [each.task for each in tasks], request)
        return preflight.check_files(Model.of(pending[0].model), tasks, metrics, request.suite.budget)


def _profile(request: Request) -> tuple[Profile, str]:
    """The profile that the cells run under, and why that one."""
    workers, machine = request.options.workers, probe()
    remote = request.ray_address is not None  # the cluster's machines are held to the profile by bench.runner.remote
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least one worker is needed.")
    if remote and request.profile != profiles.AUTO:
        profile = profiles.load(request.profile)
        why = f"{profile.name}: on the machines of the Ray cluster"
    else:
        profile, why = profiles.resolve(request.profile, machine)
    if workers is not None:
        profile = profile.with_workers(workers)
        if not remote:
            profiles.require(profile, machine)
    return profile, why


def _assignments(
    request: Request,
    built: Sequence[Method],
    profile: Profile,
    found: Mapping[str, Resolved],
    version: Callable[[str, str], str],
) -> Iterator[Assignment]:
    """What workers need for each cell, seed by seed: a grid cut short has compared all methods on some seeds."""
    tasks, model = registry.tasks(request.plugins), models.find(request.model)
    model_files = found[f"model {model.name}"]
    model = models.resolved(model, model_files.revision)

    @cache  # as `version`
    def overrides(method: Method, task: str) -> Overrides:
        return request.recipes.overrides(method, task, request.suite)

    for seed, task, method in product(request.seeds, request.tasks, built):
        data, changed, plugin = found[f"task {task}"], overrides(method, task), tasks.get(task).plugin
        cell = Cell(
            method=method.name,
            params=method.params.model_dump(mode="json"),
            variant=changed_params(method.params),
            task=task,
            task_source=portable(pinned(plugin.source, data.revision)),
            task_revision=data.revision,
            model=model.name,
            model_source=model.source,
            model_revision=model_files.revision,
            profile=profile,
            preset=request.suite.name,
            budget=request.suite.budget,
            recipe=changed.settings,
            pooling=request.suite.pooling_on(plugin.kind),
            seed=seed,
            code=version(method.name, task),
        )
        yield Assignment(
            cell=cell,
            data=data.path,
            model=model_files.path,
            plugins=tuple(request.plugins),
            workers=profile.workers,
            results=request.results.resolve(),
            keep_adapter=request.options.keep_adapters,
            recipe_sources=changed.sources,
            track=tuple(request.track),
        )


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
