"""Which records belong together: groups that are compared, rows that are averaged, and what of a row is current."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.plugins.specs import method_label
from bench.records.record import Record


class Group(NamedTuple):
    """What is compared: rows of one group differ in method alone. Never across profiles."""

    task: str
    model: str
    profile: str
    preset: str


class Row(NamedTuple):
    """What is averaged: cells of one row differ in seed alone."""

    group: Group
    method: str
    variant: str

    @property
    def label(self) -> str:
        return method_label(self.method, self.variant)


def row_of(record: Record) -> Row:
    cell = record.cell
    return Row(Group(cell.task, cell.model, cell.profile.name, cell.preset), cell.method, cell.variant)


def by_row(records: Iterable[Record]) -> dict[Row, list[Record]]:
    """The current records of each row, extra tests as rows of their own; rows and their records in a fixed order."""
    rows = _current(with_extra_tests(records))
    return {row: sorted(rows[row], key=lambda record: record.cell.seed) for row in sorted(rows)}


def with_extra_tests(records: Iterable[Record]) -> list[Record]:
    """The records, and each once more for each extra test of its task.

    Which these are, a cell that failed does not say; others of its task do. So its failure shows there too.
    """
    records = list(records)
    names: dict[str, set[str]] = defaultdict(set)
    for record in records:
        names[record.cell.task].update(record.extra_tests)
    return records + [
        record.on(name)
        for record in records
        for name in sorted(names[record.cell.task])
        if name in record.extra_tests or record.status != "ok"  # a finished one without it was run before there was it
    ]


def current(records: Iterable[Record]) -> list[Record]:
    """The records that belong in one table: of each row those of the code version that ran last.

    Numbers of two versions of the code are not averaged: a seed that only the older one ran is left out.
    """
    return [record for members in _current(records).values() for record in members]


def _current(records: Iterable[Record]) -> dict[Row, list[Record]]:
    rows: dict[Row, list[Record]] = defaultdict(list)
    for record in records:
        rows[row_of(record)].append(record)
    for row, members in rows.items():
        of_latest = sorted(_latest(members), key=lambda r: (r.finished_at, r.id))
        rows[row] = list({r.cell.seed: r for r in of_latest}.values())
    return rows


def _latest(members: Sequence[Record]) -> list[Record]:
    """Those of the version that ended last."""
    last: dict[tuple[str, ...], str] = {}  # when each version ended last
    versions = [_version(record) for record in members]
    for version, record in zip(versions, members, strict=True):
        last[version] = max(last.get(version, ""), record.finished_at)
    latest = max(last, key=lambda version: (last[version], version))
    return [r for r, version in zip(members, versions, strict=True) if version == latest]


def scores(members: Iterable[Record]) -> dict[int, float]:
    """Score by seed of the cells that finished with one."""
    return {r.cell.seed: r.score for r in members if r.status == "ok" and r.score is not None}


def higher_is_better(members: Iterable[Record]) -> bool:
    """The direction of a row's metric; a row of which nothing finished has none, and then it does not matter."""
    return next((r.higher_is_better for r in members if r.higher_is_better is not None), True)


def _version(record: Record) -> tuple[str, ...]:
    """What must agree for two cells of a row to be averaged, beyond what the row itself shows."""
    cell = record.cell
    return (
        cell.code,
        cell.task_revision,
        cell.model_revision,
        cell.budget.model_dump_json(),
        cell.profile.model_dump_json(exclude={"summary"}),
        repr(sorted(cell.recipe.items())),
    )
