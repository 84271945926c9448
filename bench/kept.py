"""The leaderboard of a large folder without making all of its records: what stands for each task, kept from last time.

A task's lines depend on its own records and on this program alone. They are kept in a file beside the index, with a
digest of both: of the stamps by which the index knows each of the task's record files (see bench.index), and of all
modules here. Where the digest is another one the task's lines are made anew, of its records; the other tasks' stay.

As the index this is no source of anything: it can be deleted at any time, and where it cannot be written nothing is
kept.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from bench import index
from bench.errors import StoreError
from bench.files import write_atomically
from bench.grid.pscp import Pscp
from bench.index import Index
from bench.leaderboard import Boards, merging
from bench.leaderboard.boards import column_names, leaderboard_columns
from bench.leaderboard.columns import Column
from bench.leaderboard.rows import Group
from bench.records.record import Record
from bench.records.store import Store

FILE = "leaderboard.kept.json"


@dataclass(frozen=True)
class Board:
    """The leaderboard's lines, by group and from best to worst, and sentences as merging has them."""

    lines: list[dict[str, Any]]
    notes: list[str]


class _Task(BaseModel):
    """What is kept of one task. lines: values by the leaderboard's columns. machines: their kinds, by profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    lines: list[list[str | int | float | None]]
    outdated: int
    machines: dict[str, list[str]]

    def fits(self, columns: Sequence[Column]) -> bool:
        """Whether every value is of its column's type: the file may be anybody's."""
        kinds = [_KINDS[column.type] for column in columns]
        return all(
            len(values) == len(kinds)
            and all(map(isinstance, values, kinds))
            and all(values[at] is not None for at in _GROUP)
            for values in self.lines
        )


_GROUP = [column_names("leaderboard").index(name) for name in Group._fields]
_KINDS = {
    "string": (str, NoneType),
    "datetime": (str, NoneType),
    "integer": (int, NoneType),
    "number": (float, int, NoneType),
}
_FILE = TypeAdapter(dict[str, _Task])


def leaderboard(folder: Store, pscp: Pscp | None = None) -> Board | None:
    """The leaderboard of all records of a folder; None where it has no index: its records are as quick to read."""
    return index.asked(folder, lambda content: _board(folder, content, pscp))


def _board(folder: Store, content: Index, pscp: Pscp | None) -> Board:
    file = folder.root / FILE
    before, now = _load(file), {}
    for task, members in _by_task(content).items():
        digest = _digest(members, pscp)
        known = before.get(task)
        if known is not None and known.digest == digest and known.fits(leaderboard_columns(pscp)):
            now[task] = known
        else:
            now[task] = _made(content.records(list(members)), digest, pscp)
    settled = {task: each for task, each in now.items() if each.digest}
    if settled != before:
        with suppress(StoreError):
            write_atomically(file, json.dumps({task: each.model_dump() for task, each in settled.items()}))
    return Board(_in_order(now.values(), pscp), _notes(content, now.values()))


def _by_task(content: Index) -> Mapping[str, Mapping[str, index.Stamp]]:
    """The stamp of each readable record by its id, by task; an extra test, `TASK/NAME`, belongs to its task."""
    tasks: dict[str, dict[str, index.Stamp]] = defaultdict(dict)
    for id, task, stamp in content.tasks():
        tasks[task.split("/")[0]][id] = stamp
    return tasks


def _digest(members: Mapping[str, index.Stamp], pscp: Pscp | None) -> str:
    """Empty where a file changed so lately that it may have changed again: then nothing is kept."""
    if index.NOT_SETTLED in members.values():
        return ""
    said = json.dumps([_program(), pscp and pscp.model_dump(mode="json"), members])
    return hashlib.sha256(said.encode()).hexdigest()


@cache
def _program() -> str:
    """All modules of this program, and what the index goes by: one of another commit may have said something else."""
    digest = hashlib.sha256(index.version().encode())
    for module in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()


def _made(records: list[Record], digest: str, pscp: Pscp | None) -> _Task:
    names = column_names("leaderboard", pscp)
    return _Task(
        digest=digest,
        lines=[[line.get(name) for name in names] for line in Boards(records, pscp).lines("leaderboard")],
        outdated=merging.outdated(records),
        machines={profile: sorted(kinds) for profile, kinds in merging.machines(records).items()},
    )


def _load(file: Path) -> dict[str, _Task]:
    """What is kept, of whatever commit; nothing where it cannot be read."""
    try:
        return _FILE.validate_python(json.loads(file.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def _in_order(tasks: Iterable[_Task], pscp: Pscp | None) -> list[dict[str, Any]]:
    names = column_names("leaderboard", pscp)
    lines = [dict(zip(names, values, strict=True)) for task in tasks for values in task.lines]
    # Sorting is stable: the lines of a group stay from best to worst.
    return sorted(lines, key=lambda line: tuple(line[name] for name in Group._fields))


def _notes(content: Index, tasks: Iterable[_Task]) -> list[str]:
    tasks = list(tasks)
    machines: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        for profile, kinds in task.machines.items():
            machines[profile].update(kinds)
    return [
        *(merging.left_out(fault) for fault in content.faults()),
        *merging.sentences(machines, sum(task.outdated for task in tasks)),
    ]
