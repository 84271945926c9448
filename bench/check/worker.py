"""In a worker process: one plugin, check by check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from bench.check import method_checks, task_checks
from bench.check.checking import Inputs
from bench.check.checks import Check, Outcome, S, check_name, run_check
from bench.check.encoder import Encoder
from bench.check.examples import KINDS
from bench.check.selection import Plugin
from bench.check.task_checks import Reading
from bench.check.trial import Trial
from bench.errors import SourceError
from bench.executors import Report
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.specs import build_method, parse
from bench.train.model import quiet_libraries


def run(job: tuple[Plugin, Inputs], report: Report) -> list[Outcome]:
    """The executor's target; reports each check before it runs."""
    plugin, inputs = job
    if plugin.type == "task":
        task, source = registry.tasks(inputs.files).get(plugin.spec).plugin, inputs.data.get(plugin.spec)
        reading = Reading(task, source or SourceError("The data was left out."))
        return list(task_outcomes(reading, source is not None, report))
    methods, spec = registry.methods(inputs.files), parse(plugin.spec)
    return list(method_outcomes(lambda: build_method(methods, spec), _encoder(inputs.model), report))


@cache
def _encoder(folder: Path | None) -> Encoder:
    quiet_libraries()
    if folder is not None:
        return Encoder.of_folder(folder)
    torch.set_num_threads(1)  # tiny matrices gain nothing from threads
    return Encoder.random()


def _ignore(progress: dict[str, Any]) -> None:
    pass


def method_outcomes(make: Callable[[], Method], encoder: Encoder, report: Report = _ignore) -> Iterator[Outcome]:
    """A method's checks, on every kind of task."""
    once = method_checks.ONE_KIND
    for kind in KINDS:
        outcomes = list(_outcomes((*method_checks.EVERY_KIND, *once), Trial(make, kind, encoder), report, kind))
        yield from outcomes
        if outcomes[0].status == "ok":
            once = ()


def task_outcomes(reading: Reading, with_data: bool, report: Report = _ignore) -> Iterator[Outcome]:
    """A task's checks."""
    for check in task_checks.STATIC:
        yield from _outcomes((check,), reading, report)
    if with_data:
        yield from _outcomes(task_checks.DATA, reading, report)


def _outcomes(checks: Sequence[Check[S]], subject: S, report: Report, on: str | None = None) -> Iterator[Outcome]:
    """If the first check does not pass there is nothing for the others to look at."""
    for check in checks:
        report({"check": check_name(check), "on": on})
        outcome = run_check(check, subject, on)
        yield outcome
        if check is checks[0] and outcome.status != "ok":
            return
