"""What is refused before anything trains, the same in `run`, `plan` and `tune`: each in one sentence.

`check` comes before anything is fetched, `check_files` after it; `bench.train.fit` has the checks of files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.check import data_notes, task_checks
from bench.errors import UsageError
from bench.grid.suites import EVERY_METHOD, Budget, Suite
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.metric import Metric
from bench.plugins.recipe import WEIGHTED_KINDS
from bench.plugins.registry import Found, Registry
from bench.plugins.specs import build_method, changed_params, method_label
from bench.plugins.task import Kind, Splits, Task
from bench.runner.request import Request

if TYPE_CHECKING:
    from bench.forecast.parameters import Frame
    from bench.train.fit import Model


def check(requests: Sequence[Request], methods: Registry[Method], tasks: Registry[Task]) -> None:
    """Check requests that differ in suites, methods, tasks and seeds alone.

    Raises:
        UsageError: for a task that does not exist or declares what cannot be trained, a recipe for what does not
            exist, and a pooling that no task takes.
    """
    metrics = registry.metrics(requests[0].plugins)
    asked = {name: tasks.get(name).plugin() for each in requests for name in each.tasks}
    for task in asked.values():
        _require(task, metrics)
    _check_pooling(requests[0].options.pooling, {task.kind for task in asked.values()})
    for each in requests:
        _check_recipes(each.suite, methods, tasks)
        _check_class_weights(each, methods, tasks)


@dataclass(frozen=True)
class Checked:
    """A task as it was found and in use, what reads its data (None: they are not here), and methods to train on it."""

    found: Found[Task]
    task: Task
    read: Callable[[], Splits | None]
    methods: Sequence[Method]


def check_files(model: Model | None, tasks: Iterable[Checked], metrics: Registry[Metric], budget: Budget) -> list[str]:
    """Check a model's files, and for each task its data and the methods that are to train on it.

    All data are read, as only that finds a wrong label; of each split `fit.SAMPLE` examples are tokenised.

    Args:
        model: None where its files are not here.

    Returns:
        What the user should know: of data of their own what was read, of all how much is cut from the inputs.

    Raises:
        UsageError: if the model cannot be used for a task, or the labels of its data have another metric.
        SourceError: for data that cannot be read or do not fit their task.
    """
    from bench.train import fit  # loads torch, as transformers does: not before there is something to run
    from bench.train.data import examples_of

    notes: list[str] = []
    for each in tasks:
        task = each.task
        found = model and fit.Fit(model, task, each.methods)
        if found:
            fit.require(found)
        if splits := each.read():
            _require(task, metrics)  # with the labels of the data
            if not each.found.is_built_in:
                used = {name: examples_of(name, splits, budget) for name in splits}
                about = data_notes.notes(task, splits, metrics.get(task.metric).plugin(), used)
                notes += [f"{task.name}, {subject}: {note}." for subject, note in about]
        if found:
            notes += fit.notes(found, splits, budget)
    return list(dict.fromkeys(notes))


def check_parameters(frame: Frame, methods: Iterable[Method], tasks: Iterable[Task], request: Request) -> None:
    """Refuse parameters that no task can have on this model, such as the 99th of six layers.

    The cells of a suite's methods, and of a method that cannot be used with its defaults either, are skipped instead.

    Raises:
        UsageError: with the method's own reason.
    """
    if request.options.methods is None:
        return
    from bench.forecast.parameters import count

    contexts = {frame.context(task, request.suite.pooling_on(task.kind)) for task in tasks}

    def reasons(method: Method) -> list[str | None]:
        return [count(frame, method, context).reason for context in contexts]

    for method in methods:
        if not (changed := changed_params(method.params)):
            continue
        with contextlib.suppress(NotImplementedError, RuntimeError):  # a plugin that needs real tensors is not checked
            found = reasons(method)
            if all(found) and not all(reasons(type(method)(type(method.params)()))):
                raise UsageError(f"{method_label(method.name, changed)} cannot be used here: {found[0]}")


def _require(task: Task, metrics: Registry[Metric]) -> None:
    if reason := task_checks.refusal(task, metrics):
        raise UsageError(f"The task {task.name!r} cannot be run: {reason}.")


def _check_pooling(pooling: str | None, kinds: set[Kind]) -> None:
    """pooling: as asked for on the command line; a suite's may be for other tasks."""
    if pooling not in (None, "model") and kinds == {"token-classification"}:
        raise UsageError(
            f"--pooling {pooling} has no effect here, because token classification reads every token's own state: "
            "leave it out, or add a task on whole texts."
        )


def _check_recipes(suite: Suite, methods: Registry[Method], tasks: Registry[Task]) -> None:
    for task in suite.task_recipes:
        tasks.get(task)
    for recipes in (suite.recipes, *suite.task_recipes.values()):
        for method in recipes.keys() - {EVERY_METHOD}:
            methods.get(method)


def _check_class_weights(request: Request, methods: Registry[Method], tasks: Registry[Task]) -> None:
    built = [build_method(methods, spec) for spec in request.methods]
    for task in request.tasks:
        kind = tasks.get(task).plugin.kind
        for method in built if kind not in WEIGHTED_KINDS else ():
            if request.recipes.overrides(method, task, request.suite).settings.get("class_weights"):
                raise UsageError(
                    f"The recipe of {method.name} for {task} sets class_weights, and {kind} has no classes to weigh: "
                    f"set it for tasks of {' and '.join(WEIGHTED_KINDS)} alone ([task_recipes])."
                )
