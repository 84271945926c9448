"""The records of one or several results folders, as from several machines, without mixing what is not comparable."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
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
class Loaded:
    """Records of distinct ids, and sentences on what was left out or limits the comparison."""

    records: list[Record]
    notes: list[str]


def load_records(folders: Sequence[Path], profile: str | None = None) -> Loaded:
    """Read results folders. Of a cell that is in several, a finished record goes before a failed one, then the latest.

    Args:
        profile: keep the cells of this one; ALL keeps all, with rows for each. None: all of one folder; of several
            folders only if they have one profile.

    Raises:
        UsageError: for a missing folder, an unknown profile, folders of several profiles if `profile` is None, or one
            profile name for different settings.
    """
    records, notes = list[Record](), list[str]()
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
            f"These folders have cells of {len(names)} profiles ({', '.join(names)}), which cannot be compared: choose "
            f"one with --profile NAME, or get rows for each with --profile {ALL}."
        )
    if len(folders) > 1:
        _require_same_settings(records)
    return Loaded(records, [*notes, *_machines(records), *_outdated(records), *notes_of(records)])


def notes_of(records: Iterable[Record]) -> list[str]:
    """The notes of the cells, each once, with the number of cells that have it."""
    found = Counter(note for record in records for note in dict.fromkeys(record.notes))
    return [f"{note} ({count} cell{'s' * (count > 1)})" for note, count in found.items()]


def _once_each(records: Iterable[Record]) -> list[Record]:
    by_id: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_id[record.id].append(record)
    return [
        same[0] if len(same) == 1 else max(same, key=lambda r: (r.status == "ok", r.finished_at, r.to_json()))
        for _, same in sorted(by_id.items())
    ]


def _several(records: Iterable[Record], value: Callable[[Record], str]) -> list[tuple[str, set[str]]]:
    """The profiles whose records have more than one value, and these."""
    found: dict[str, set[str]] = defaultdict(set)
    for record in records:
        found[record.cell.profile.name].add(value(record))
    return [(name, values) for name, values in sorted(found.items()) if len(values) > 1]


def _require_same_settings(records: Iterable[Record]) -> None:
    for name, found in _several(records, lambda record: record.cell.profile.model_dump_json(exclude={"summary"})):
        raise UsageError(
            f"The profile {name} has {len(found)} different settings in these folders, so their numbers cannot be "
            "compared: rename one of them, or rerun the older cells."
        )


def _machines(records: Iterable[Record]) -> list[str]:
    return [
        f"Profile {name} was run on {len(found)} kinds of machine ({'; '.join(sorted(found))}): "
        "memory and speed of a row are medians over all of its cells."
        for name, found in _several(records, lambda record: str(machine_kind(record) or "unknown"))
    ]


def _outdated(records: Sequence[Record]) -> list[str]:
    old = len(records) - len(current(records))
    cells = f"{old} cell{'s' * (old > 1)}"
    return [f"Left out: {cells} of older code or settings than the newest of the row."] if old else []
