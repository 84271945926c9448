"""A trial: settings of a method that were tried on a task, and how well they did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from bench.plugins.recipe import HISTORY, LENGTH
from bench.plugins.specs import method_label
from bench.records.record import Record

Point = tuple[tuple[str, Any], ...]
"""Searched settings by name, sorted: what tells trials of a method on a task apart."""


def point(settings: Mapping[str, Any]) -> Point:
    """The searched settings among those of a recipe."""
    return tuple(sorted((name, value) for name, value in settings.items() if name not in LENGTH | HISTORY))


@dataclass(frozen=True)
class Trial:
    """Settings of a method on a task. records: of its cells, one a seed, in order; at least one."""

    records: tuple[Record, ...]

    @property
    def label(self) -> str:
        return method_label(self.records[0].cell.method, self.records[0].cell.variant)

    @property
    def task(self) -> str:
        return self.records[0].cell.task

    @cached_property
    def point(self) -> Point:
        return point(self.records[0].cell.recipe)

    @cached_property
    def scores(self) -> dict[int, float | None]:
        """By seed, larger is better; None: the training failed or came to nothing."""
        return {record.cell.seed: _score(record) for record in self.records}

    @property
    def floor(self) -> float | None:
        """The score of a constant answer on validation, larger is better; None: unknown, or it has none."""
        known = [_sign(record) * record.constant_score for record in self.records if record.constant_score is not None]
        return known[0] if known else None

    @property
    def examples(self) -> int | None:
        """Training examples that each cell saw, every repetition counted; None: unknown."""
        return max(map(_examples, self.records)) or None

    def value(self, seeds: Sequence[int]) -> float | None:
        """The mean less the standard deviation of the scores at these seeds; None where one of them has none.

        So of two settings with about the same mean the one that varies less is preferred. Of one seed: its score.
        """
        found = [score for seed in seeds if (score := self.scores.get(seed)) is not None]
        if len(found) < len(seeds):
            return None
        return fmean(found) - (stdev(found) if len(found) > 1 else 0.0)

    def setting(self, name: str) -> Any:
        """A setting that it was trained with, the method's own included."""
        recipe = next((record.recipe for record in self.records if record.recipe), None)
        return getattr(recipe, name) if recipe else self.records[0].cell.recipe.get(name)


def _sign(record: Record) -> int:
    return -1 if record.higher_is_better is False else 1


def _score(record: Record) -> float | None:
    if record.status != "ok" or record.score is None or record.collapsed:
        return None
    return _sign(record) * record.score


def _examples(record: Record) -> int:
    if record.recipe is None or record.data is None:
        return 0
    examples, steps = record.data.examples["train"], len(record.losses)
    whole, rest = divmod(steps, -(-examples // record.recipe.batch_size))
    return whole * examples + min(rest * record.recipe.batch_size, examples)


def trials_of(records: Iterable[Record]) -> list[Trial]:
    """The trials of these records, by method, task and settings. What was skipped or interrupted is no trial."""
    grouped: dict[tuple[str, str, str], dict[Point, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.status not in ("skipped", "interrupted"):
            cell = record.cell
            grouped[cell.method, cell.variant, cell.task][point(cell.recipe)].append(record)
    return [
        Trial(tuple(sorted(members, key=lambda record: record.cell.seed)))
        for _, by_point in sorted(grouped.items())
        for _, members in sorted(by_point.items(), key=lambda each: order(each[0]))
    ]


def order(settings: Point) -> tuple[int, float, str]:
    """For sorting: the method's own settings first, then by rate. The first of equally good settings is preferred."""
    return len(settings), float(dict(settings).get("learning_rate", 0.0)), repr(settings)
