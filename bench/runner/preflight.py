"""What is refused before anything is fetched or trained, the same in `run`, `plan` and `tune`: each in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from bench.check import task_checks
from bench.errors import UsageError
from bench.grid.suites import EVERY_METHOD, Suite
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.registry import Registry
from bench.plugins.task import Task
from bench.runner.request import Request


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
