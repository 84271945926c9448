"""Checks plugins: each in a worker process, one after another.

A plugin that hangs or ends its process has failed, and the next one gets a new worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bench.check.checks import OnProgress, Outcome, Report
from bench.check.selection import Plugin
from bench.check.task_checks import Reading, task_outcomes
from bench.errors import SourceError
from bench.executors import Finished, Job, Lost, Progress
from bench.executors.local import LocalExecutor
from bench.plugins import registry
from bench.plugins.specs import build_method, parse

TARGET = "bench.check.checking:check_one"
# Sources were fetched before; a plugin has no reason to use the hub.
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Inputs:
    """What plugins are checked with.

    files: plugin files beside what is registered. model: folder of the encoder that methods are tried on; None: the
    tiny random BERT. data: where each task's source was found, or why not, by the task's name; a task that is not in
    it is checked without its data.
    """

    files: tuple[Path, ...] = ()
    model: Path | None = None
    data: Mapping[str, Path | SourceError] = field(default_factory=dict)


def check(
    plugins: Sequence[Plugin],
    inputs: Inputs,
    timeout: float | None = None,
    on_progress: Callable[[Plugin, str, str | None], None] = lambda plugin, check, on: None,
) -> Iterator[Report]:
    """The report on each plugin, as soon as it is ready.

    Args:
        timeout: seconds that one plugin may take.
        on_progress: called with the plugin, the check that begins, and the kind of task.
    """
    for plugin in plugins:
        if plugin.error is not None:
            yield _failed_report(plugin, "registered", plugin.error)
    usable = {f"{plugin.type} {plugin.spec}": plugin for plugin in plugins if plugin.error is None}
    jobs = (Job(key, (plugin, inputs), timeout) for key, plugin in usable.items())
    with closing(LocalExecutor(TARGET, env=ENVIRONMENT).run(jobs)) as events:
        for event in events:
            match event:
                case Progress(key, {"check": name, "on": on}):
                    on_progress(usable[key], name, on)
                case Finished(key, outcomes):
                    yield Report(usable[key], outcomes)
                case Lost(key=key, reason=reason, progress=last):
                    during = f", during the check {last['check']}" if last else ""
                    yield _failed_report(usable[key], "finishes", f"{reason}{during}")


def _failed_report(plugin: Plugin, name: str, reason: str) -> Report:
    """A failure of the plugin as a whole, instead of its checks."""
    requirement = {
        "registered": "The plugin can be imported and defines what a plugin must.",
        "finishes": "Checking ends: the plugin neither hangs nor ends its process.",
    }[name]
    return Report(plugin, [Outcome(name, requirement, "failed", reason)])


def check_one(job: tuple[Plugin, Inputs], report: OnProgress) -> list[Outcome]:
    """What a worker does; it reports each check before it runs."""
    plugin, inputs = job
    if plugin.type == "task":
        task, source = registry.tasks(inputs.files).get(plugin.spec).plugin, inputs.data.get(plugin.spec)
        reading = Reading(task, source or SourceError("The data was left out."))
        return list(task_outcomes(reading, source is not None, report))
    from bench.check.method_checks import encoder_of, method_outcomes  # loads torch, which tasks do not need

    methods, spec = registry.methods(inputs.files), parse(plugin.spec)
    return list(method_outcomes(lambda: build_method(methods, spec), encoder_of(inputs.model), report))
