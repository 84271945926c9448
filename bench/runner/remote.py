"""A cell on a machine that is not the driver's: what it needs is found or fetched there, then it runs as anywhere.

No path of the driver's is trusted here. Sources are resolved on this machine, once for all of its workers; and where
its code, its plugins or its hardware are not what the cell's identity says, the cell ends as an error that says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any

from bench import profiles
from bench.errors import BenchError, SourceError
from bench.executors import Report
from bench.executors.ray import WORKERS_HERE
from bench.grid.cell import Cell, code_version
from bench.measure.environment import anonymous
from bench.plugins import registry
from bench.profiles.probe import probe
from bench.records.record import new_record, timestamp
from bench.records.store import Store
from bench.sources.references import PathRef, parse
from bench.sources.resolve import local, resolve
from bench.train.assignment import Assignment


@dataclass(frozen=True)
class Errand:
    """A cell with what a worker on any machine needs to run it.

    data, model: pinned references, or paths that all machines must have. results: the folder that takes the record, on
    machines that see the very same folder: it holds a file named `token`. The others: see `Assignment`.
    """

    cell: Cell
    data: str
    model: str
    mirror: Path | None
    plugins: tuple[Path, ...]
    results: Path
    token: str
    keep_adapter: bool
    recipe_sources: Mapping[str, str]

    @classmethod
    def of(cls, assignment: Assignment, mirror: Path | None, results: Path, token: str) -> Errand:
        return cls(
            cell=assignment.cell,
            data=_anywhere(assignment.cell.task_source, assignment.data),
            model=_anywhere(assignment.cell.model_source, assignment.model),
            mirror=mirror and mirror.expanduser().absolute(),
            plugins=tuple(plugin.absolute() for plugin in assignment.plugins),
            results=results,
            token=token,
            keep_adapter=assignment.keep_adapter,
            recipe_sources=assignment.recipe_sources,
        )


@contextmanager
def marked(results: Path) -> Iterator[str]:
    """Mark a results folder for as long as the context lasts, so that other machines know whether they see it."""
    token = f".run-{token_hex(8)}"
    results.mkdir(parents=True, exist_ok=True)
    (results / token).touch()
    try:
        yield token
    finally:
        (results / token).unlink(missing_ok=True)


def run(errand: Errand, report: Report) -> Any:
    """The executor's target on other machines: as `worker.run`, whose caller has to store the record as well."""
    results = errand.results if (errand.results / errand.token).exists() else None
    try:
        assignment = _assignment(errand, results)
    except BenchError as error:
        record = new_record(errand.cell)
        record.reason, record.finished_at = anonymous(str(error)), timestamp()
        if results is not None:
            Store(results).write(record)
        return record.model_dump(mode="json")
    from bench.train import worker  # loads torch, which the driver does without

    return worker.run(assignment, report)


def _assignment(errand: Errand, results: Path | None) -> Assignment:
    """The errand with this machine's paths.

    Raises:
        BenchError: if this machine cannot run the cell as its identity says.
    """
    wanted = errand.cell
    for plugin in errand.plugins:
        if not plugin.exists():
            raise BenchError(
                f"A machine of the cluster has no plugin file {plugin}: put it on a path that all machines share, or "
                "copy it to the same place on each."
            )
    files = [
        registry.methods(errand.plugins).get(wanted.method).file,
        registry.tasks(errand.plugins).get(wanted.task).file,
    ]
    if (code := code_version(files)) != wanted.code:
        raise BenchError(
            f"A machine of the cluster has other code or libraries (code version {code}) than the one that the run was "
            f"started on ({wanted.code}): install the same versions on both."
        )
    _require(wanted.profile)
    if errand.keep_adapter and results is None:
        raise BenchError("--keep-adapters needs a results folder that all machines of the cluster share.")
    return Assignment(
        cell=wanted,
        data=_here(errand.data, errand.mirror, wanted.task_revision),
        model=_here(errand.model, errand.mirror, wanted.model_revision),
        plugins=errand.plugins,
        workers=int(os.environ.get(WORKERS_HERE, "1")),
        results=results,
        keep_adapter=errand.keep_adapter,
        recipe_sources=errand.recipe_sources,
    )


@cache
def _require(profile: profiles.Profile) -> None:
    profiles.require(profile, probe())


@cache
def _here(reference: str, mirror: Path | None, revision: str) -> Path:
    """Where a source lies on this machine, once it is there. A worker asks once; a file's lock keeps others waiting.

    Raises:
        SourceError: if it cannot be had, or is not of that revision.
    """
    if reference.startswith("hub:") and local(reference, mirror) is None:
        _download(reference)
    found = resolve(reference, mirror=mirror)
    if found.revision != revision:
        raise SourceError(
            f"A machine of the cluster has {found.revision} for {reference}, and the one that the run was started on "
            f"{revision}: give them the same files, or the same mirror."
        )
    return found.path


def _download(reference: str) -> None:
    """Fetch a source of the hub in a process of its own, since this one has promised never to go there."""
    code = (
        "import sys; from bench import errors; from bench.sources.resolve import resolve\n"
        "try: resolve(sys.argv[1])\n"
        "except errors.SourceError as error: sys.exit(str(error))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, reference], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SourceError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{reference}: no download.")


def _anywhere(reference: str, found: Path) -> str:
    """The reference, by which other machines find it; of a path, however it was written, the whole one."""
    return str(found) if isinstance(parse(reference), PathRef) else reference
