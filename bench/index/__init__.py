"""An index beside the records of a large results folder: what tables, estimates and comparisons need of each.

The records stay the truth. The index is one SQLite file that says of each record file how it looked when it was read
(size, times), what is in it without the long parts, and what each test example contributes to its score. A file that
looks otherwise is read again, one that is gone is forgotten, and an index that cannot be read or is of another version
is made anew. It is replaced as a whole in one move, so readers and writers need no lock, on a network's disk neither:
who writes last wins, and all that can be lost is that a few files are read once more. Where it cannot be written it is
kept in memory.

Small folders have none: their records are as quick to read.
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from bench.forecast.estimate import Estimator
from bench.grid.cell import Cell
from bench.index import file
from bench.index.file import NOT_SETTLED, Stamp, version
from bench.index.rows import SHARED
from bench.index.snapshots import Indexed, KeptAnswers, Reader
from bench.records.predictions import Answers
from bench.records.record import Record
from bench.records.store import Store

__all__ = ["NOT_SETTLED", "Index", "Indexed", "Stamp", "asked", "estimator", "finished", "read", "version"]

T = TypeVar("T")


class Index:
    """The index of a folder, as its files were when it was opened."""

    def __init__(self, store: Store, content: sqlite3.Connection) -> None:
        self.store, self._content = store, content

    def records(self, ids: Collection[str] | None = None) -> list[Record]:
        """Every readable record, or those of these cells, by id."""
        columns = f"rest, {', '.join(SHARED)}"
        with _no_collection():
            reader = Reader(self, dict(self._content.execute("SELECT id, text FROM shared")))
            if ids is None:
                found = self._content.execute(f"SELECT {columns} FROM records WHERE fault IS NULL ORDER BY name")
                return list(reader.records(found))
            query = f"SELECT {columns} FROM records WHERE name = ? AND fault IS NULL"
            names = (os.fsencode(f"{id}.json") for id in sorted(ids))
            return list(reader.records(row for name in names for row in self._content.execute(query, (name,))))

    def faults(self) -> list[str]:
        """What is wrong with each of the other files, by name."""
        found = self._content.execute("SELECT name, fault FROM records WHERE fault IS NOT NULL ORDER BY name")
        return [f"{self.store.records / os.fsdecode(name)}{json.loads(fault)}" for name, fault in found]

    def tasks(self) -> Iterator[tuple[str, str, Stamp]]:
        """The id, the task and the stamp of every readable record, by id."""
        texts = self._content.execute("SELECT id, text FROM shared WHERE id IN (SELECT cell FROM records)")
        names = {key: json.loads(text)["task"] for key, text in texts}
        query = "SELECT name, cell, size, modified, changed FROM records WHERE fault IS NULL ORDER BY name"
        for name, cell, *stamp in self._content.execute(query):
            yield os.fsdecode(name).removesuffix(".json"), names[cell], (stamp[0], stamp[1], stamp[2])

    def estimator(self) -> Estimator:
        """An estimator that has learnt from all records."""
        made = Estimator()
        texts = dict(self._content.execute("SELECT id, text FROM shared WHERE id IN (SELECT cell FROM records)"))
        cells = {key: Cell(**json.loads(text), seed=0) for key, text in texts.items()}
        found = self._content.execute("SELECT cell, total FROM records WHERE status = 'ok' AND total IS NOT NULL")
        for cell, total in found:
            made.learn_seconds(cells[cell], total)
        return made

    def answers(self, id: str, test: str) -> Answers | None:
        """What is kept of a finished cell's answers to the test split (""), or an extra test."""
        query = "SELECT predictions, correct, contributions FROM answers WHERE name = ? AND test = ?"
        found = self._content.execute(query, (os.fsencode(f"{id}.json"), json.dumps(test))).fetchone()
        return KeptAnswers(*found) if found else None


def read(folder: Store) -> tuple[list[Record], list[str]]:
    """Every readable record of a folder, by id, and what is wrong with each of the other files, as `Store.all` has
    them; the long parts of a record of a large folder are read when they are asked for."""
    found = asked(folder, lambda index: (index.records(), index.faults()))
    return folder.all() if found is None else found


def finished(folder: Store, ids: Collection[str]) -> dict[str, Record]:
    """The records, by id, of those of these cells that need not be run again."""
    found = asked(folder, lambda index: index.records(ids))
    if found is None:
        return {id: record for id in ids if (record := folder.finished(id)) is not None}
    known = {record.id: record for record in found if record.status == "ok"}
    return {id: known[id] for id in ids if id in known}


def estimator(folder: Store) -> Estimator:
    """How long the cells of a folder took."""
    return asked(folder, Index.estimator) or Estimator(folder.all()[0])


def asked(folder: Store, question: Callable[[Index], T]) -> T | None:
    """The answer of the folder's index; None where it has none. An index that turns out to be damaged is made anew."""
    try:
        return _answer(folder, question)
    except (sqlite3.DatabaseError, ValueError, LookupError, TypeError):
        with suppress(OSError):
            (folder.root / file.FILE).unlink(missing_ok=True)
        return _answer(folder, question, anew=True)


def _answer(folder: Store, question: Callable[[Index], T], anew: bool = False) -> T | None:
    content = file.opened(folder, anew)
    return None if content is None else question(Index(folder, content))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Making many objects that all stay is not the time to look for those that do not."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
