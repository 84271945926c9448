"""The records of one results folder or of several, as from several machines, without mixing what does not compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.leaderboard.rows import current
from bench.records.machines import machine_kind
from bench.records.record import Record
from bench.records.store import Store
from bench.suggestions import suggest

ALL = "all"


@dataclass(frozen=True)
class Merged:
    """Records of distinct ids, and sentences on what was left out or should be known of them."""

    records: list[Record]
    notes: list[str]


def merge(folders: Sequence[Path], profile: str | None = None) -> Merged:
    """Read results folders. A cell that stands in several counts once: finished before failed, then the latest.

    Args:
        profile: keep the cells of this one only; ALL keeps all, each profile with rows of its own. None: all
            of one folder; of several folders only where they agree on one profile.

    Raises:
        UsageError: for a folder that is not there, a profile that no cell has, folders that hold more than one
            profile without a word on which is meant, or one profile's name for different settings.
    """
    records: list[Record] = []
    notes: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"There is no results folder {folder}; `python -m bench run` makes one.")
        found, faults = Store(folder).all()
        records += found
        notes += [f"Left out: {fault}" for fault in faults]
    records = _once_each(records)
    names = sorted({record.cell.profile.name for record in records})
    if profile not in (None, ALL):
        if profile not in names:
            known = f" There are: {', '.join(names)}." if names else ""
            raise UsageError(f"No cell has the profile {profile!r}{suggest(str(profile), names)}{known}")
        records = [record for record in records if record.cell.profile.name == profile]
    elif profile is None and len(folders) > 1 and len(names) > 1:
        raise UsageError(
            f"These folders hold cells of {len(names)} profiles ({', '.join(names)}), whose numbers do not compare: "
            f"choose one with --profile NAME, or have rows for each with --profile {ALL}."
        )
    if len(folders) > 1:
        _require_one_meaning(records)
    return Merged(records, [*notes, *sentences(machines(records), outdated(records))])


def _once_each(records: Iterable[Record]) -> list[Record]:
    records = list(records)
    if len({record.id for record in records}) == len(records):
        return sorted(records, key=lambda record: record.id)
    by_id: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_id[record.id].append(record)
    return [_best(by_id[key]) for key in sorted(by_id)]


def _best(same: Sequence[Record]) -> Record:
    return same[0] if len(same) == 1 else max(same, key=lambda r: (r.status == "ok", r.finished_at, r.to_json()))


def _require_one_meaning(records: Iterable[Record]) -> None:
    meanings: dict[str, set[str]] = defaultdict(set)
    for record in records:
        meanings[record.cell.profile.name].add(record.cell.profile.model_dump_json(exclude={"summary"}))
    for name, found in sorted(meanings.items()):
        if len(found) > 1:
            raise UsageError(
                f"The profile {name} stands for {len(found)} different settings in these folders, so its numbers do "
                "not compare: give one of them another name, or run the older cells again."
            )


def machines(records: Iterable[Record]) -> dict[str, set[str]]:
    """The kinds of machine that each profile was run on."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for record in records:
        kinds[record.cell.profile.name].add(str(machine_kind(record) or "unknown"))
    return kinds


def outdated(records: Sequence[Record]) -> int:
    """How many records are of older code or settings than the newest of the same row."""
    return len(records) - len(current(records))


def sentences(kinds: Mapping[str, set[str]], old: int) -> list[str]:
    """What should be known of records whose `machines` and number of `outdated` ones these are."""
    several = [
        f"Profile {name} was run on {len(found)} kinds of machine ({'; '.join(sorted(found))}): "
        "memory and speed of a row are medians over all of its cells."
        for name, found in sorted(kinds.items())
        if len(found) > 1
    ]
    if not old:
        return several
    return [
        *several,
        f"Left out: {old} cell{'s' * (old > 1)} of older code or settings than the newest of the same row.",
    ]
