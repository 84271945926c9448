"""Which records belong together: groups are compared, rows averaged, and only a row's current records count."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.grid.models import digits
from bench.plugins.specs import method_label
from bench.records.record import Record
from bench.sources.references import REMOTE


class Group(NamedTuple):
    """What is compared: the rows of a group differ in method only. Never across profiles."""

    task: str
    model: str
    profile: str
    preset: str
    pooling: str

    @property
    def budget(self) -> str:
        """The suite, with the pooling where it is not the models' own."""
        return self.preset if self.pooling == "model" else f"{self.preset}, {self.pooling} pooling"


class Row(NamedTuple):
    """What is averaged: the cells of a row differ in seed only."""

    group: Group
    method: str
    variant: str

    @property
    def label(self) -> str:
        return method_label(self.method, self.variant)

    @property
    def is_extra(self) -> bool:
        """Whether it is an extra test of a task, `TASK/EXTRA_TEST`: its costs are those of the task."""
        return "/" in self.group.task


def grouped(records: Iterable[Record]) -> dict[Row, list[Record]]:
    """Records by row.

    Two models or two data sets of one name never share a row: their names get the first digits of their content. New
    records of models have them already, see `bench.grid.models.resolved`; a task's name is declared, and so is alone
    as long as its data are the same.
    """
    records, rows = list(records), defaultdict[Row, list[Record]](list)
    data: dict[str, set[str]] = defaultdict(set)
    models: dict[str, set[str]] = defaultdict(set)
    for cell in (record.cell for record in records):
        data[cell.task.partition("/")[0]].add(_data(cell.task_source, cell.task_revision))
        models[cell.model].add(cell.model_revision)

    def named(name: str, revision: str, known: dict[str, set[str]]) -> str:
        return f"{name}@{digits(revision)}" if len(known[name]) > 1 else name

    for record in records:
        cell = record.cell
        task, slash, extra_test = cell.task.partition("/")
        task = f"{named(task, cell.task_revision, data)}{slash}{extra_test}"
        model = named(cell.model, cell.model_revision, models)
        group = Group(task, model, cell.profile.name, cell.preset, cell.pooling)
        rows[Row(group, cell.method, cell.variant)].append(record)
    return rows


def _data(source: str, revision: str) -> str:
    """What a task's data are: the content of local files; elsewhere the place, whose later content is newer data."""
    return re.sub(r"@[^!]*|==[^!]*|#.*", "", source) if source.startswith(REMOTE) else revision


def by_row(records: Iterable[Record]) -> dict[Row, list[Record]]:
    """The current records of each row, with extra tests as rows of their own; rows and their records are sorted."""
    rows = _current(with_extra_tests(records))
    return {row: sorted(rows[row], key=lambda record: record.cell.seed) for row in sorted(rows)}


def with_extra_tests(records: Iterable[Record]) -> list[Record]:
    """The records, and one more for each extra test of its task.

    A failed cell does not say which these are, other cells of its task do: its failure shows there too.
    """
    records = list(records)
    names: dict[str, set[str]] = defaultdict(set)
    for record in records:
        names[record.cell.task].update(record.extra_tests)
    return records + [
        record.on(name)
        for record in records
        for name in sorted(names[record.cell.task])
        if name in record.extra_tests or record.status != "ok"  # a finished cell without it is older than the test
    ]


def current(records: Iterable[Record]) -> list[Record]:
    """The records of each row that are of the code version that ran last.

    Results of two code versions are not averaged: a seed that only the older one ran is left out.
    """
    return [record for members in _current(records).values() for record in members]


def _current(records: Iterable[Record]) -> dict[Row, list[Record]]:
    rows = grouped(records)
    for row, members in rows.items():
        of_latest = sorted(_latest(members), key=lambda r: (r.finished_at, r.id))
        rows[row] = list({r.cell.seed: r for r in of_latest}.values())
    return rows


def _latest(members: Sequence[Record]) -> list[Record]:
    """The records of the version that finished last."""
    versions = [_version(record) for record in members]
    _, latest = max((record.finished_at, version) for record, version in zip(members, versions, strict=True))
    return [record for record, version in zip(members, versions, strict=True) if version == latest]


def _version(record: Record) -> tuple[str, ...]:
    """What two cells of a row must have in common to be averaged, beyond what the row shows."""
    cell = record.cell
    return (
        cell.code,
        cell.task_revision,
        cell.model_revision,
        cell.budget.model_dump_json(),
        cell.profile.model_dump_json(exclude={"summary"}),
        repr(sorted(cell.recipe.items())),
    )


def scores(members: Iterable[Record]) -> dict[int, float]:
    """The scores of finished cells by seed."""
    return {r.cell.seed: r.score for r in members if r.status == "ok" and r.score is not None}


def metric_of(members: Iterable[Record]) -> str | None:
    """A row's metric; None if no cell got as far as to record it."""
    return next((r.metric for r in members if r.metric), None)


def higher_is_better(members: Iterable[Record]) -> bool:
    """The direction of a row's metric; of a row without finished cells it is unknown, and does not matter."""
    return next((r.higher_is_better for r in members if r.higher_is_better is not None), True)
