"""Cells on the machines of a Ray cluster: what a cell needs is found or fetched there, then it runs as anywhere.

Sources are resolved on the machine that runs the cell, once for all cells of a worker. Where its code, its plugins, its
sources or its hardware are not what the cell's identity says, the cell ends as an error that says so.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any

from bench import profiles
from bench.errors import BenchError, SourceError
from bench.executors import Report
from bench.executors.ray import WORKERS_HERE, RayExecutor
from bench.executors.ray.cluster import MIB, Share, connected, room_for
from bench.grid.cell import code_version
from bench.measure.environment import anonymous, settings
from bench.plugins import registry
from bench.profiles import Profile
from bench.profiles.probe import probe
from bench.records.record import new_record, timestamp
from bench.runner.backend import SETUP, Backend, worker_environment
from bench.runner.request import Request
from bench.sources.references import REMOTE
from bench.sources.resolve import local, resolve
from bench.train.assignment import Assignment

TARGET = f"{__name__}:run"


@dataclass(frozen=True)
class RemoteJob:
    """A cell with what a worker on any machine needs to run it.

    assignment: with paths of the driver's machine. token: a file in the results folder, by which a machine knows that
    it sees the same folder.
    """

    assignment: Assignment
    mirror: Path | None
    token: str

    @classmethod
    def of(cls, assignment: Assignment, mirror: Path | None, token: str) -> RemoteJob:
        return cls(
            assignment=replace(assignment, plugins=tuple(plugin.absolute() for plugin in assignment.plugins)),
            mirror=mirror and mirror.expanduser().absolute(),
            token=token,
        )


@contextmanager
def cluster(request: Request, profile: Profile) -> Iterator[Backend]:
    """A Ray cluster as what runs the cells of a request."""
    machine, share = probe(), share_of(profile)
    here = {
        "num_cpus": machine.cpu_cores_allowed,
        "num_gpus": len(machine.gpus),
        "_memory": machine.usable_memory_mib * MIB,
    }
    with connected(request.ray_address, here), marked(request.results.resolve()) as token:
        # Workers compute with the driver's settings.
        executor = RayExecutor(TARGET, share, settings() | worker_environment(), SETUP)
        yield Backend(executor, room_for(share), lambda assignment: RemoteJob.of(assignment, request.mirror, token))


def share_of(profile: Profile) -> Share:
    """What a cell takes of a machine: what one of the profile's workers takes.

    The workers of a profile share a GPU, or a machine if it has none: no more cells than that run there at a time,
    whatever the machine has room for, so that figures are comparable.
    """
    return Share(
        cpus=profile.min_cores / profile.workers,
        gpus=0.0 if profile.device != "cuda" else math.floor(1e4 / profile.workers) / 1e4,  # Ray counts in 1/10,000
        memory=profile.min_memory_mib * MIB // profile.workers,
        most=profile.workers if profile.device == "cpu" else None,
    )


@contextmanager
def marked(results: Path) -> Iterator[str]:
    """A file of a unique name in the results folder, for as long as the context lasts; its name."""
    token = results / f".run-{token_hex(8)}"
    results.mkdir(parents=True, exist_ok=True)
    token.touch()
    try:
        yield token.name
    finally:
        token.unlink(missing_ok=True)


def run(job: RemoteJob, report: Report) -> Any:
    """The executor's target on a cluster. A cell that cannot run on this machine is a record that the driver writes."""
    results = job.assignment.results
    if results is not None and not (results / job.token).exists():
        results = None
    try:
        assignment = _localized(job, results)
    except BenchError as error:
        record = new_record(job.assignment.cell)
        record.reason, record.finished_at = anonymous(str(error)), timestamp()
        record.retries = job.assignment.retries
        return record
    from bench.train import worker  # loads torch, which the driver does without

    return worker.run(assignment, report)


def _localized(job: RemoteJob, results: Path | None) -> Assignment:
    """The job's assignment with paths of this machine; a BenchError where the cell would be another one here."""
    assignment = job.assignment
    wanted, plugins = assignment.cell, assignment.plugins
    for plugin in plugins:
        if not plugin.exists():
            raise BenchError(
                f"A machine of the cluster has no plugin file {plugin}: put it on a path that all machines share, or "
                "copy it to the same place on each."
            )
    if (code := code_version(registry.code_files(wanted.method, wanted.task, plugins))) != wanted.code:
        raise BenchError(
            f"A machine of the cluster has other code or libraries (code version {code}) than the one that the run was "
            f"started on ({wanted.code}): install the same versions on both."
        )
    _require(wanted.profile)
    if assignment.keep_adapter and results is None:
        raise BenchError("--keep-adapters needs a results folder that all machines of the cluster share.")
    return replace(
        assignment,
        data=_path(_reference(wanted.task_source, assignment.data), job.mirror, wanted.task_revision),
        model=_path(_reference(wanted.model_source, assignment.model), job.mirror, wanted.model_revision),
        workers=int(os.environ.get(WORKERS_HERE, "1")),
        results=results,
    )


@cache
def _require(profile: Profile) -> None:
    profiles.require(profile, probe())


@cache
def _path(reference: str, mirror: Path | None, revision: str) -> Path:
    """Where a source is on this machine, downloaded if need be; a SourceError if it has another revision."""
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
    """Download from the hub, in another process: this one is offline (HF_HUB_OFFLINE), so that no cell uses the hub."""
    code = "import sys; from bench.sources.resolve import resolve; resolve(sys.argv[1])"
    environment = os.environ | {"HF_HUB_OFFLINE": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-P", "-c", code, reference]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        error = (done.stderr.strip().splitlines() or [f"{reference} cannot be downloaded."])[-1]
        raise SourceError(error.removeprefix(f"{SourceError.__module__}.{SourceError.__name__}: "))


def _reference(source: str, found: Path) -> str:
    """What names the source on every machine: of a path the absolute one."""
    return source if source.startswith(REMOTE) else str(found)
