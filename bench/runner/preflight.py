"""What is refused before anything trains, the same in `run`, `plan` and `tune`: each in one sentence.

`check` comes before anything is fetched, `check_files` after it; `bench.train.fit` has the checks of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from bench.check import task_checks
from bench.errors import UsageError
from bench.grid.suites import EVERY_METHOD, Budget, Suite
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.registry import Registry
from bench.plugins.task import Splits, Task
from bench.runner.request import Request

if TYPE_CHECKING:
    from bench.train.fit import Model


def check(requests: Sequence[Request], methods: Registry[Method], tasks: Registry[Task]) -> None:
    """Check requests that differ in their suites alone.

    Raises:
        UsageError: for a task that does not exist or declares what cannot be trained, a recipe for what does not
            exist, and a pooling that no task takes.
    """
    request = requests[0]
    metrics = registry.metrics(request.plugins)
    for name in request.tasks:
        if reason := task_checks.refusal(tasks.get(name).plugin, metrics):
            raise UsageError(f"The task {name!r} cannot be run: {reason}.")
    _check_pooling(request, tasks)
    for each in requests:
        _check_recipes(each.suite, methods, tasks)


def check_files(
    model: Model, tasks: Iterable[tuple[Task, Callable[[], Splits | None], Sequence[Method]]], budget: Budget
) -> list[str]:
    """Check a model's files, and for each task its data and the methods that are to train on it.

    All data are read, as only that finds a wrong label; of each split `fit.SAMPLE` examples are tokenised.

    Args:
        tasks: with what reads the data (None: they are not here).

    Returns:
        What the user should know: how much is cut from the inputs.

    Raises:
        UsageError: if the model cannot be used for a task.
        SourceError: for data that cannot be read or do not fit their task.
    """
    from bench.train import fit  # loads torch, as transformers does: not before there is something to run

    notes = []
    for task, read, methods in tasks:
        found = fit.Fit(model, task, methods)
        fit.require(found)
        if splits := read():
            notes.append(fit.note(found, splits, budget))
    return [note for note in notes if note]


def _check_pooling(request: Request, tasks: Registry[Task]) -> None:
    kinds = {tasks.get(task).plugin.kind for task in request.tasks}
    pooling = request.options.pooling  # a suite's may be for other tasks
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
