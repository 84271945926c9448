"""Checks the plugins that the command line names: each in a worker process, one after another.

A plugin that hangs or ends its process has failed, and the next one gets a new worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench.check.checks import OnProgress, Outcome
from bench.check.task_checks import Reading, model_outcomes, task_outcomes
from bench.errors import SourceError, UsageError
from bench.executors import Finished, Job, Lost, Progress
from bench.executors.local import LocalExecutor
from bench.plugins import registry
from bench.plugins.registry import Registry
from bench.plugins.specs import build_method, parse
from bench.suggestions import suggest

# Sources were fetched before; a plugin has no reason to use the hub.
FILES = (".py", ".toml")
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Plugin:
    """A method with its parameters, a task or a metric, by name; or a file that cannot be imported.

    error: why it cannot be used at all.
    """

    spec: str
    type: Literal["method", "task", "metric", "file"]
    error: str | None = None


Registries = dict[Literal["method", "task", "metric"], Registry[Any]]


@dataclass(frozen=True)
class Report:
    """The results of a plugin's checks."""

    plugin: Plugin
    outcomes: list[Outcome]

    @property
    def status(self) -> Literal["ok", "failed", "not checked"]:
        """`not checked`: a method that applies to no kind of task on this encoder."""
        found = {outcome.status for outcome in self.outcomes}
        if "failed" in found:
            return "failed"
        return "ok" if "ok" in found else "not checked"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        checks = [asdict(outcome) for outcome in self.outcomes]
        return {"plugin": self.plugin.spec, "type": self.plugin.type, "status": self.status, "checks": checks}

    def lines(self) -> list[str]:
        """One line with the status, and one for each error, reason to skip or note, with the kinds of task it is on."""
        kinds = {outcome.on for outcome in self.outcomes}
        checks = {outcome.check for outcome in self.outcomes if outcome.status != "note"}
        failed = {outcome.check for outcome in self.outcomes if outcome.status == "failed"}
        on = f" on {len(kinds)} kind{'s' if len(kinds) > 1 else ''} of task" if kinds != {None} else ""
        status = {"ok": f"{len(checks)} checks{on}: ok", "failed": f"{len(failed)} of {len(checks)} checks failed"}
        lines = [f"{self.plugin.spec}: {status.get(self.status, self.status)}"]
        places: dict[tuple[str, str | None], list[str | None]] = {}
        for outcome in self.outcomes:
            if outcome.status != "ok":
                name = "does not apply" if outcome.status == "skipped" else outcome.check
                places.setdefault((name, outcome.reason), []).append(outcome.on)
        for (name, reason), where in places.items():
            some = f" ({', '.join(map(str, where))})" if len(where) < len(kinds) else ""
            lines.append(f"  {name}{some}: {reason}")
        return lines


def select(names: Sequence[str], files: Sequence[Path]) -> tuple[list[Plugin], list[Path]]:
    """The plugins to check, each once, and all plugin files: those given, and those among the names.

    Args:
        names: methods with or without parameters, tasks, metrics, or files of plugins, which stand for all that they
            define; none at all stand for everything that is registered.
        files: of `--plugin`.

    Raises:
        UsageError: for a name that is no plugin, or parameters that a method does not take.
        PluginError: for a file that does not exist or defines no plugin.
    """
    every = list(dict.fromkeys([*files, *(Path(name) for name in names if name.endswith(FILES))]))
    known: Registries = {
        "method": registry.methods(every), "task": registry.tasks(every), "metric": registry.metrics(every)
    }  # fmt: skip
    found = [] if names else list(_registered(known))
    for name in names:
        found += _registered(known, Path(name)) if name.endswith(FILES) else [_named(name, known)]
    return list(dict.fromkeys(found)), every


def _registered(known: Registries, path: Path | None = None) -> Iterator[Plugin]:
    """All plugins, or those of a file."""
    file = path and path.expanduser().resolve()
    for what, each in known.items():
        for name in each.names():
            if file in (None, each.found[name].file.resolve()):
                yield Plugin(name, what)
        for name, broken in sorted(each.broken.items()):
            # A file that cannot be imported is broken in every kind.
            is_all = all(other.broken.get(name) == broken for other in known.values())
            if file in (None, broken.file):
                yield Plugin(name, "file" if is_all else what, broken.reason)


def _named(name: str, known: Registries) -> Plugin:
    spec, methods = parse(name), known["method"]
    for what, each in known.items():
        if spec.name in each.broken:
            return Plugin(name, what, each.broken[spec.name].reason)
        if spec.name in each.found and what != "method":
            if spec.params:
                raise UsageError(f"A {what} has no parameters: write {spec.name!r} for {name!r}.")
            return Plugin(spec.name, what)
    if not {spec.name, spec.name.partition(":")[0]} & {*methods.found, *methods.families}:
        names = [found for each in known.values() for found in each.names()]
        raise UsageError(f"There is no plugin {spec.name!r}{suggest(spec.name, names)}")
    build_method(methods, spec)
    return Plugin(name, "method")


def check(
    plugins: Sequence[Plugin],
    files: Sequence[Path],
    model: Path | None,
    data: Mapping[str, Path | SourceError],
    timeout: float | None = None,
    on_progress: Callable[[Plugin, str, str | None], None] = lambda plugin, check, on: None,
) -> Iterator[Report]:
    """The report on each plugin, as soon as it is ready.

    Args:
        files: plugin files beside what is registered.
        model: folder of the encoder that methods are tried on; None: the tiny random BERT.
        data: where each task's source was found, or why not, by the task's name; a task that is not in it is checked
            without its data.
        timeout: seconds that one plugin may take.
        on_progress: called with the plugin, the check that begins, and the kind of task.
    """
    for plugin in plugins:
        if plugin.error is not None:
            requirement = "The plugin can be imported and defines what a plugin must."
            yield Report(plugin, [Outcome("registered", requirement, "failed", plugin.error)])
    usable = {f"{plugin.type} {plugin.spec}": plugin for plugin in plugins if plugin.error is None}
    methods = [each.spec for each in usable.values() if each.type == "method"]
    jobs = (Job(key, (each, files, model, data.get(each.spec), methods), timeout) for key, each in usable.items())
    with closing(LocalExecutor(f"{__name__}:check_one", env=ENVIRONMENT).run(jobs)) as events:
        for event in events:
            match event:
                case Progress(key, {"check": name, "on": on}):
                    on_progress(usable[key], name, on)
                case Finished(key, outcomes):
                    yield Report(usable[key], outcomes)
                case Lost(key=key, reason=reason, progress=last):
                    requirement = "Checking ends: the plugin neither hangs nor ends its process."
                    during = f", during the check {last['check']}" if last else ""
                    yield Report(usable[key], [Outcome("finishes", requirement, "failed", f"{reason}{during}")])


OneJob = tuple[Plugin, Sequence[Path], Path | None, Path | SourceError | None, Sequence[str]]


def check_one(job: OneJob, report: OnProgress) -> Any:
    """Run all checks of one plugin, in a worker; each is reported before it starts. A task's also with the methods."""
    plugin, files, model, source, others = job
    methods = registry.methods(files)
    if plugin.type == "task":
        task = registry.tasks(files).get(plugin.spec).plugin
        reading = Reading(task, source or SourceError("The data was left out."), registry.metrics(files))
        outcomes = list(task_outcomes(reading, source is not None, report))
        if model is not None:
            report({"check": "model", "on": None})
            readable = source is not None and all(outcome.status != "failed" for outcome in outcomes)
            outcomes += model_outcomes(reading, readable, model, [build_method(methods, parse(m)) for m in others])
        return outcomes
    if plugin.type == "metric":
        from bench.check.metric_checks import metric_outcomes  # loads numpy, which selecting does not need

        return list(metric_outcomes(registry.metrics(files).get(plugin.spec).plugin(), report))
    from bench.check.encoder import encoder_of  # loads torch, which the others do not need
    from bench.check.method_checks import method_outcomes

    spec = parse(plugin.spec)
    return list(method_outcomes(lambda: build_method(methods, spec), encoder_of(model), report))
