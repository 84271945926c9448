"""Trials as grids: each is an ordinary cell, whose suite is named after its settings and which scores validation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.errors import UsageError
from bench.grid.recipes import RecipeStore
from bench.grid.suites import Suite
from bench.plugins import registry
from bench.plugins.specs import Spec, build_method, changed_params, method_label
from bench.records.record import Record
from bench.runner.request import Request
from bench.tuning.search import Search
from bench.tuning.trials import Point, trials_of

CHOSEN_BY = "a trial of tune"


@dataclass(frozen=True)
class Tuning:
    """The search of every method of a request, by label. lengths: settings that are the same in all its trials."""

    request: Request
    specs: Mapping[str, Spec]
    searches: Mapping[str, Search]
    lengths: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, request: Request, rates: int, extensions: int, length: Mapping[str, Any]) -> Tuning:
        """length: epochs and min_steps of every trial of methods without a length of their own.

        The suite's epochs_scale does not change them.

        Raises:
            UsageError: for a method without a search space, and a suite that validates nothing.
        """
        if request.suite.budget.validation_examples == 0:
            raise UsageError(
                f"The suite {request.suite.name} validates nothing (validation_examples = 0): tune with another."
            )
        found, specs, searches, lengths = registry.methods(request.plugins), {}, {}, {}
        for spec in request.methods:
            method = build_method(found, spec)
            if method.space is None:
                raise UsageError(
                    f"The method {spec.name} has no search space, so there is nothing to tune: see Method.space."
                )
            label = method_label(spec.name, changed_params(method.params))
            specs[label] = spec
            searches[label] = Search(method.space, tuple(request.tasks), tuple(request.seeds), rates, extensions)
            lengths[label] = {} if method.own_length else length
        return cls(request, specs, searches, lengths)

    @property
    def sizes(self) -> tuple[int, int]:
        """The least and the most cells that it takes, if no leader fails at a further seed."""
        least, most = zip(*(search.sizes for search in self.searches.values()), strict=True)
        return sum(least), sum(most)

    def requests(self, records: Iterable[Record]) -> list[Request]:
        """Grids of what to try next, after these records; none: the search is over.

        They differ in suites, methods, tasks and seeds alone. A task that a method is not for is left out.
        """
        records = list(records)
        skipped = {
            (method_label(record.cell.method, record.cell.variant), record.cell.task)
            for record in records
            if record.status == "skipped"
        }
        trials = trials_of(records)
        found = []
        for label, search in self.searches.items():
            on = replace(search, tasks=[task for task in search.tasks if (label, task) not in skipped])
            grouped: dict[tuple[Point, tuple[int, ...]], list[str]] = defaultdict(list)
            for task, settings, seeds in on.wanted(trial for trial in trials if trial.label == label):
                grouped[settings, seeds].append(task)
            found += [self._request(label, tasks, *key) for key, tasks in grouped.items()]
        return found

    def _request(self, label: str, tasks: list[str], settings: Point, seeds: tuple[int, ...]) -> Request:
        suite, spec = self.request.suite, self.specs[label]
        recipe = {**dict(settings), **self.lengths[label]}
        budget = {**suite.budget.model_dump(), "choose": "last", "score_on": "validation", "epochs_scale": 1.0}
        changes = {
            "name": f"{suite.name}-trial[{','.join(f'{name}={value}' for name, value in recipe.items())}]",
            "budget": budget,
            "recipes": {spec.name: {**recipe, "chosen_by": CHOSEN_BY}},
            "task_recipes": {},
        }
        return replace(
            self.request,
            suite=Suite.model_validate({**suite.model_dump(), **changes}),
            methods=[spec],
            tasks=tasks,
            seeds=seeds,
            recipes=RecipeStore(shipped=False),
        )
