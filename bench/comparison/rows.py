"""Which rows of two results folders belong together, and what happened to those without a partner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from bench.leaderboard.rows import Group, Row, by_row
from bench.records.record import Record, Status

BySeed = dict[int, Record]
BROKEN: tuple[Status, ...] = ("error", "oom", "timeout", "skipped")  # what a row that succeeded must not become

# What rows may differ in and yet be compared, if that is asked for, and how to ask.
ACROSS = {"profile": "--across-profiles compares what it can", "model": "--across-models compares them"}
Across = frozenset[str]
EventKind = Literal["fails", "void", "missing", "incomparable", "interrupted", "new", "recovered"]

# Throughput and memory of all rows together: what slows the loop slows every row, and many rows show it best.
ALL_ROWS = Row(Group("", "", "", "", ""), "all rows", "")


@dataclass(frozen=True)
class RowPair:
    """One row in both runs, by seed; across profiles or models, `row` is the new run's."""

    row: Row
    base: BySeed
    new: BySeed

    @property
    def common(self) -> list[int]:
        """Seeds that finished in both."""
        both = self.base.keys() & self.new.keys()
        return sorted(seed for seed in both if self.base[seed].status == self.new[seed].status == "ok")

    @property
    def same_profile(self) -> bool:
        base, new = (_any(each).cell.profile.model_dump(exclude={"summary"}) for each in (self.base, self.new))
        return base == new


@dataclass(frozen=True)
class RowEvent:
    """Something that happened to a whole row, in a sentence; a regression or not."""

    row: Row
    kind: EventKind
    regression: bool
    text: str


def row_label(row: Row, varying: Iterable[str] = ()) -> str:
    """varying: fields of the group that are not the same in all rows, and so are part of the label."""
    if row == ALL_ROWS:
        return "all rows together"
    return ", ".join([f"{row.label} on {row.group.task}", *(getattr(row.group, name) for name in varying)])


def match_rows(
    base: Iterable[Record], new: Iterable[Record], *, across: Across = frozenset()
) -> tuple[list[RowPair], list[RowEvent]]:
    """The rows that two runs share, and what happened to rows.

    across: of ACROSS; a row without a partner takes the one row that differs in nothing else, if there is exactly one.
    """
    first, second = _rows(base), _rows(new)
    partners = {row: row for row in first if row in second}
    others: dict[Row, Row] = {}
    for fields in (["profile"], ["model"], ["profile", "model"]):
        found = _differing_in(
            fields,
            first.keys() - partners.keys() - others.keys(),
            second.keys() - {*partners.values(), *others.values()},
        )
        (partners if across.issuperset(fields) else others).update(found)
    pairs: list[RowPair] = []
    events: list[RowEvent] = []
    for row, partner in sorted(partners.items()):
        pair = RowPair(partner, first[row], second[partner])
        if reason := _incomparable(pair, across):
            events.append(_not_compared(partner, reason))
        else:
            pairs.append(pair)
            events += _events(pair)
    for row, partner in sorted(others.items()):
        both = {name: (getattr(row.group, name), getattr(partner.group, name)) for name in ACROSS if name not in across}
        differ = {name: values for name, values in both.items() if len({*values}) > 1}
        named = " and ".join(f"other {name} ({before} before, {now} now)" for name, (before, now) in differ.items())
        events.append(_not_compared(partner, f"{named}; {' and '.join(ACROSS[name] for name in differ)}"))
    for row in sorted(first.keys() - partners.keys() - others.keys()):
        events += _missing(row, first[row], second, across)
    for row in sorted(second.keys() - set(partners.values()) - set(others.values())):
        if not row.is_extra:
            events.append(RowEvent(row, "new", False, f"new: {_state(second[row])}; the base has no such row"))
    return pairs, events


def _rows(records: Iterable[Record]) -> dict[Row, BySeed]:
    return {row: {record.cell.seed: record for record in members} for row, members in by_row(records).items()}


def _differing_in(fields: Sequence[str], first: Iterable[Row], second: Iterable[Row]) -> dict[Row, Row]:
    """Partners that differ only in these fields of the group, where there is no choice."""

    def key(row: Row) -> Row:
        return row._replace(group=row.group._replace(**dict.fromkeys(fields, "")))

    one, other = ({name: [*rows] for name, rows in groupby(sorted(each, key=key), key)} for each in (first, second))
    return {one[k][0]: other[k][0] for k in one.keys() & other.keys() if len(one[k]) == len(other[k]) == 1}


def _incomparable(pair: RowPair, across: Across) -> str | None:
    """Why two rows of one name are not the same experiment; None: they are.

    Code, recipes, libraries and plugins may differ: a comparison is made to see what that does. Data and budget may
    not, nor the model unless that is asked for.
    """
    base, new = _any(pair.base).cell, _any(pair.new).cell
    if base.budget != new.budget:
        return "the budgets differ (examples, epochs or the choice of the epoch)"
    if base.task_revision != new.task_revision:
        return "the revisions of the task's data differ"
    if "model" not in across and base.model_revision != new.model_revision:
        return f"the revisions of the model differ; {ACROSS['model']}"
    if "profile" not in across and not pair.same_profile:
        return f"the settings of the profile {base.profile.name} differ; {ACROSS['profile']}"
    return None


def _not_compared(row: Row, reason: str) -> RowEvent:
    return RowEvent(row, "incomparable", False, f"not compared: {reason}")


def _any(records: BySeed) -> Record:
    return next(iter(records.values()))  # `current` keeps one version, so that every seed has the same settings


def _events(pair: RowPair) -> list[RowEvent]:
    """What happened to a row that is compared."""
    events: list[RowEvent] = []

    def add(kind: EventKind, seeds: Iterable[int], text: str, reason: str | None = None) -> None:
        if listed := ", ".join(map(str, sorted(seeds))):
            text = f"{text} at seed {listed}{f': {reason}' if reason else ''}"
            events.append(RowEvent(pair.row, kind, kind in ("fails", "void"), text))

    # A score that is undefined now, such as a correlation with a constant, is no number and yet worse.
    unscored = [s for s in pair.common if pair.base[s].score is not None and pair.new[s].score is None]
    add("void", unscored, "had a score before, and has none")
    if pair.row.is_extra:
        return events
    good = {seed for seed, record in pair.base.items() if record.status == "ok"}
    broken = {seed: record for seed, record in pair.new.items() if record.status in BROKEN}
    ok_now = any(record.status == "ok" for record in pair.new.values())
    # Seeds that the base never ran say nothing about a change, unless nothing else is left of the row.
    lost = {s: r for s, r in broken.items() if s in good or (good and not ok_now and s not in pair.base)}
    reasons = [lost[seed].reason for seed in sorted(lost) if lost[seed].reason]
    add("fails", lost, f"succeeded before, now {_state(lost)}", reasons[0] if reasons else "no reason was recorded")
    void = [s for s in pair.common if _void(pair.new[s]) and not _void(pair.base[s])]
    add("void", void, "trained before, and now does not", _void(pair.new[void[0]]) if void else None)
    add("interrupted", [s for s, record in pair.new.items() if record.status == "interrupted"], "interrupted")
    cured = [s for s, r in pair.new.items() if r.status == "ok" and s in pair.base and pair.base[s].status in BROKEN]
    add("recovered", cured, "failed before, now succeeds")
    return events


def _missing(row: Row, base: BySeed, new: Mapping[Row, BySeed], across: Across) -> list[RowEvent]:
    """What a row that only the base has means.

    A run applies every method of its grid to every task. So where the new run has the method and the task, but not
    the two together, the row was lost, and that is a regression, unless the run was cut short. Where it lacks one of
    them, it was asked for something else.
    """
    if row.is_extra or not any(record.status == "ok" for record in base.values()):
        return []  # its task's event says it, or there was nothing to lose
    same = dict.fromkeys(("task", *across), "")
    rows = [other for other in new if other.group._replace(**same) == row.group._replace(**same)]
    methods = {(other.method, other.variant) for other in rows}
    asked = row.group.task in {other.group.task for other in rows} and (row.method, row.variant) in methods
    cut_short = any(record.status == "interrupted" for other in rows for record in new[other].values())
    if not asked or cut_short:
        why = "interrupted" if asked else "not asked for it"
        return [RowEvent(row, "missing", False, f"missing: the new run was {why}")]
    return [RowEvent(row, "missing", True, "missing, although the new run has this method and this task")]


def _state(records: BySeed) -> str:
    """`3 ok`, `2 error and 1 oom`."""
    statuses = [record.status for record in records.values()]
    return " and ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))


def _void(record: Record) -> str | None:
    return record.speed.void if record.speed else None
