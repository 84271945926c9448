"""Which rows of two results folders belong together, and what became of those that have no partner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.leaderboard.rows import Group, Row, by_row
from bench.records.record import Record, Status

BySeed = dict[int, Record]
BROKEN: tuple[Status, ...] = ("error", "oom", "timeout", "skipped")  # what a row that succeeded must not become

Happening = Literal["fails", "void", "missing", "incomparable", "interrupted", "new", "recovered"]


@dataclass(frozen=True)
class Pair:
    """One row in both runs, by seed; of a comparison across profiles, `row` is the new run's."""

    row: Row
    base: BySeed
    new: BySeed
    extra: bool = False  # an extra test's row: its costs are those of the task, and stand there

    @property
    def common(self) -> list[int]:
        """Seeds that ended well in both."""
        return sorted(
            s for s in self.base.keys() & self.new.keys() if self.base[s].status == self.new[s].status == "ok"
        )

    @property
    def same_profile(self) -> bool:
        return _profile(self.base) == _profile(self.new)


@dataclass(frozen=True)
class Event:
    """Something that happened to a whole row, in a sentence; a regression or not."""

    row: Row
    what: Happening
    regression: bool
    text: str

    @property
    def label(self) -> str:
        return row_label(self.row)


@dataclass
class Matched:
    pairs: list[Pair] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    other_profiles: list[tuple[str, str]] = field(default_factory=list)  # rows that differ in the profile alone


# Throughput and memory of all rows together: what slows the loop slows every row, and many see it better than one.
ALL_ROWS = Row(Group("", "", "", ""), "all rows", "")


def row_label(row: Row) -> str:
    return "all rows together" if row == ALL_ROWS else f"{row.label} on {row.group.task}"


def match(base: Iterable[Record], new: Iterable[Record], *, across_profiles: bool = False) -> Matched:
    """Put the rows of two runs together.

    across_profiles: a row without a partner in its own profile takes the one row that differs in nothing else,
    where there is exactly one.
    """
    first, second = _rows(base), _rows(new)
    partners = {row: row for row in first if row in second}
    others = _in_another_profile(first.keys() - partners.keys(), second.keys() - partners.keys())
    if across_profiles:
        partners.update(others)
    matched = Matched(other_profiles=sorted({(a.group.profile, b.group.profile) for a, b in others.items()}))
    for row, partner in sorted(partners.items()):
        pair = Pair(partner, first[row], second[partner], extra=_parent(row) in partners)
        reason = _incomparable(pair, across_profiles)
        if reason is not None:
            matched.events.append(Event(partner, "incomparable", False, f"not compared: {reason}"))
            continue
        matched.pairs.append(pair)
        matched.events.extend(_lost_scores(pair))
        if not pair.extra:
            matched.events.extend(_events(pair))
    apart = {} if across_profiles else others
    for row, partner in sorted(apart.items()):
        profiles = f"{row.group.profile} before, {partner.group.profile} now"
        matched.events.append(Event(partner, "incomparable", False, f"not compared: other profile ({profiles})"))
    for row in sorted(first.keys() - partners.keys() - apart.keys()):
        if _parent(row) in first and _parent(row) not in second:
            continue  # told with its task
        event = _missing(row, first[row], second)
        if event is not None:
            matched.events.append(event)
    for row in sorted(second.keys() - set(partners.values()) - set(apart.values())):
        if _parent(row) in second and _parent(row) not in first:
            continue  # told with its task
        matched.events.append(Event(row, "new", False, f"new: {_state(second[row])}; the base has no such row"))
    return matched


def _rows(records: Iterable[Record]) -> dict[Row, BySeed]:
    return {row: {record.cell.seed: record for record in members} for row, members in by_row(records).items()}


def _parent(row: Row) -> Row | None:
    """The row of the task, if the row's name is that of an extra test (`TASK/EXTRA_TEST`)."""
    task, _, extra = row.group.task.rpartition("/")
    return row._replace(group=row.group._replace(task=task)) if task and extra else None


def _in_another_profile(first: Iterable[Row], second: Iterable[Row]) -> dict[Row, Row]:
    """Partners that differ in the profile alone, where that leaves no choice."""

    def by_rest(rows: Iterable[Row]) -> dict[Row, list[Row]]:
        found: dict[Row, list[Row]] = defaultdict(list)
        for row in rows:
            found[row._replace(group=row.group._replace(profile=""))].append(row)
        return found

    one, other = by_rest(first), by_rest(second)
    return {one[k][0]: other[k][0] for k in one.keys() & other.keys() if len(one[k]) == len(other[k]) == 1}


def _incomparable(pair: Pair, across_profiles: bool) -> str | None:
    """Why two rows of one name are not the same experiment; None: they are.

    The code may differ, and with it recipes, libraries and plugins: that is what a comparison is for. What the
    code works on may not.
    """
    base, new = _any(pair.base).cell, _any(pair.new).cell
    if base.budget != new.budget:
        return "the budgets differ (examples, epochs or the choice of the epoch)"
    if base.task_revision != new.task_revision:
        return "the task's data is of another revision"
    if base.model_revision != new.model_revision:
        return "the model is of another revision"
    if not across_profiles and not pair.same_profile:
        return f"the profile {base.profile.name} says something else now; --across-profiles compares what it can"
    return None


def _profile(records: BySeed) -> dict[str, object]:
    return _any(records).cell.profile.model_dump(exclude={"summary"})


def _any(records: BySeed) -> Record:
    return next(iter(records.values()))  # `current` keeps one version: any seed speaks for all


def _events(pair: Pair) -> list[Event]:
    events = []
    good = {seed for seed, record in pair.base.items() if record.status == "ok"}
    broken = {seed: record for seed, record in pair.new.items() if record.status in BROKEN}
    ok_now = any(record.status == "ok" for record in pair.new.values())
    # Seeds that the base never ran say nothing about a change, unless nothing else is left of the row.
    lost = {s: r for s, r in broken.items() if s in good or (good and not ok_now and s not in pair.base)}
    if lost:
        reason = next(iter(lost[s].reason for s in sorted(lost) if lost[s].reason), "no reason was recorded")
        text = f"succeeded before, now {_state(lost)} at seed {_list(lost)}: {reason}"
        events.append(Event(pair.row, "fails", True, text))
    void = {s for s in pair.common if _void(pair.new[s]) and not _void(pair.base[s])}
    if void:
        reason = _void(pair.new[min(void)])
        text = f"trained before, and now does not at seed {_list(void)}: {reason}"
        events.append(Event(pair.row, "void", True, text))
    stopped = {s for s, record in pair.new.items() if record.status == "interrupted"}
    if stopped:
        events.append(Event(pair.row, "interrupted", False, f"interrupted at seed {_list(stopped)}"))
    healed = {s for s, r in pair.new.items() if r.status == "ok" and s in pair.base and pair.base[s].status in BROKEN}
    if healed:
        events.append(Event(pair.row, "recovered", False, f"failed before, now succeeds at seed {_list(healed)}"))
    return events


def _lost_scores(pair: Pair) -> list[Event]:
    """A score that is undefined now, as a correlation with answers that are all alike: no number, and yet worse."""
    lost = [s for s in pair.common if pair.base[s].score is not None and pair.new[s].score is None]
    return [Event(pair.row, "void", True, f"had a score before, and has none at seed {_list(lost)}")] if lost else []


def _missing(row: Row, base: BySeed, new: Mapping[Row, BySeed]) -> Event | None:
    """What to make of a row that only the base has.

    A run makes every method of its grid meet every task. So where the new run has the method and has the task, but
    not both together, the row was lost, and that is a regression, unless the run was plainly cut short. Where it has
    not even one of them, it was asked for something else.
    """
    if not any(record.status == "ok" for record in base.values()):
        return None  # it was never there to be lost
    parent = _parent(row)
    if parent is not None and parent in new:
        ran = any(record.status == "ok" for record in new[parent].values())
        return Event(row, "missing", False, "missing: the task has no such test now") if ran else None
    rows = [other for other in new if other.group._replace(task="") == row.group._replace(task="")]
    tried = row.group.task in {other.group.task for other in rows} and (row.method, row.variant) in {
        (other.method, other.variant) for other in rows
    }
    if not tried:
        return Event(row, "missing", False, "missing: the new run was not asked for it")
    cut_short = any(record.status == "interrupted" for other in rows for record in new[other].values())
    if cut_short:
        return Event(row, "missing", False, "missing: the new run was interrupted")
    return Event(row, "missing", True, "missing, although the new run has this method and this task")


def _state(records: BySeed) -> str:
    """`3 ok`, `2 error and 1 oom`."""
    statuses = [record.status for record in records.values()]
    return " and ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))


def _void(record: Record) -> str | None:
    return record.speed.void if record.speed else None


def _list(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))
