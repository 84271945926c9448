"""Goes through the clauses of plugins: each plugin in a worker process, one after another.

A plugin that hangs or takes its process down has broken the contract, and the next one gets a fresh worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bench.check import Clause, Outcome, S
from bench.check.plugins import Plugin
from bench.check.report import Report
from bench.errors import SourceError
from bench.executors import Finished, Job, Lost, Progress
from bench.executors.local import LocalExecutor
from bench.plugins import registry
from bench.plugins.specs import build_method, parse

if TYPE_CHECKING:
    from bench.check.encoder import Encoder
    from bench.check.reading import Reading
    from bench.plugins.method import Method

Told = Callable[[str, str | None], None]
"""Hears which clause is looked at now, and on which kind of task."""

TARGET = "bench.check.checking:examine"
# Nothing that a plugin does while it is checked should reach for the hub; sources were fetched before.
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Assignment:
    """What a worker gets. data: where a task's source was found, or why not; None: leave the data out."""

    plugin: Plugin
    files: tuple[Path, ...]
    model: Path | None
    data: Path | SourceError | None


def check(
    plugins: Sequence[Plugin],
    files: Sequence[Path] = (),
    *,
    model: Path | None = None,
    data: Mapping[str, Path | SourceError] = MappingProxyType({}),
    timeout: float | None = None,
    told: Callable[[Plugin, str, str | None], None] = lambda plugin, clause, on: None,
) -> Iterator[Report]:
    """The report of each plugin, as it is ready.

    Args:
        files: plugin files beside what is registered.
        model: folder of the encoder that methods are tried on; None: the tiny random BERT.
        data: where each task's source was found, or why not, by the task's name; a task that is not in it
            is looked at without its data.
        timeout: seconds that one plugin may take.
        told: hears what is looked at now.
    """
    for plugin in plugins:
        if plugin.fault is not None:
            yield Report(plugin, [_whole("registered", plugin.fault)])
    usable = {f"{plugin.type} {plugin.spec}": plugin for plugin in plugins if plugin.fault is None}
    jobs = (
        Job(key, Assignment(plugin, tuple(files), model, data.get(plugin.spec)), timeout)
        for key, plugin in usable.items()
    )
    with closing(LocalExecutor(TARGET, env=ENVIRONMENT).run(jobs)) as events:
        for event in events:
            match event:
                case Progress(key, {"clause": name, "on": on}):
                    told(usable[key], name, on)
                case Finished(key, outcomes):
                    yield Report(usable[key], outcomes)
                case Lost(key=key, reason=reason, progress=last):
                    during = f", while looking at {last['clause']}" if last else ""
                    yield Report(usable[key], [_whole("finishes", f"{reason}{during}")])


def _whole(name: str, reason: str) -> Outcome:
    """A failure of the plugin as a whole, before or instead of its clauses."""
    promise = {
        "registered": "The plugin can be imported, and says what a plugin must.",
        "finishes": "The plugin can be gone through: it neither hangs nor takes its process down.",
    }[name]
    return Outcome(name, promise, "failed", reason)


def examine(assignment: Assignment, report: Callable[[dict[str, Any]], None]) -> list[Outcome]:
    """A worker's job: one plugin through its clauses."""

    def told(clause: str, on: str | None) -> None:
        report({"clause": clause, "on": on})

    plugin = assignment.plugin
    if plugin.type == "task":
        from bench.check.reading import Reading

        def locate() -> Path:
            if not isinstance(assignment.data, Path):
                raise assignment.data or SourceError("The data was left out.")
            return assignment.data

        found = registry.tasks(assignment.files).get(plugin.spec).plugin
        return list(task_outcomes(Reading(found, locate), assignment.data is not None, told))
    methods, spec = registry.methods(assignment.files), parse(plugin.spec)
    return list(method_outcomes(lambda: build_method(methods, spec), _encoder(assignment.model), told))


@cache
def _encoder(folder: Path | None) -> Encoder:
    import torch

    from bench.check.encoder import Encoder
    from bench.train.model import quiet_libraries

    quiet_libraries()
    if folder is not None:
        return Encoder.of_folder(folder)
    torch.set_num_threads(1)  # tiny matrices gain nothing from threads
    return Encoder.random()


def _ignore(clause: str, on: str | None) -> None:
    pass


def method_outcomes(make: Callable[[], Method], encoder: Encoder, told: Told = _ignore) -> Iterator[Outcome]:
    """A method through its clauses, on every kind of task; where it does not apply, no further than that."""
    from bench.check import method_checks
    from bench.check.examples import KINDS
    from bench.check.trial import Trial

    once = method_checks.ONE_KIND
    for kind in KINDS:
        outcomes = list(_go_through((*method_checks.EVERY_KIND, *once), Trial(make, kind, encoder), told, kind))
        yield from outcomes
        if outcomes[0].status == "ok":
            once = ()


def task_outcomes(reading: Reading, with_data: bool, told: Told = _ignore) -> Iterator[Outcome]:
    """A task through its clauses; where the data cannot be read, no further than that."""
    from bench.check import task_checks

    for clause in task_checks.STATIC:
        yield from _go_through((clause,), reading, told)
    if with_data:
        yield from _go_through(task_checks.DATA, reading, told)


def _go_through(clauses: Sequence[Clause[S]], subject: S, told: Told, on: str | None = None) -> Iterator[Outcome]:
    """Without the first clause there is nothing that the others could look at."""
    for clause in clauses:
        told(clause.name, on)
        outcome = clause.check(subject, on)
        yield outcome
        if clause is clauses[0] and outcome.status != "ok":
            return
