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
import hashlib
import json
import os
import secrets
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, PrivateAttr

from bench import answers, record, store
from bench.answers import Answers, answers_of
from bench.estimate import Estimator
from bench.executors import Finished, Job
from bench.executors.local import LocalExecutor
from bench.grid import Cell
from bench.method import Recipe
from bench.profiles.probe import cpu_cores_allowed
from bench.record import Data, ExtraTest, Memory, Parameters, Record, Speed
from bench.stats import contributions as stats_contributions
from bench.stats.contributions import Floats
from bench.store import Store, StoreError

FILE = "index.sqlite"
LEAST = 500  # records; reading fewer takes no time
MANY = 2_000  # files that are worth more than one process, and a word to whoever waits
CHUNK = 250  # files that a process reads at a time
MOST_PROCESSES = 8
FRESH_SECONDS = 2.0
"""A file changed so shortly before it is read may change again and look the same, as file systems' clocks are coarse:
it is read again the next time."""
LONG = ("losses", "predictions", "references", "traceback")  # what is left in the record's file
SHARED = ("cell", "environment", "data", "recipe", "parameters", "seeds")  # what many records have alike
ABANDONED_SECONDS = 3600.0  # a temporary index is large, and is not left for a day

MODELS: dict[str, type[BaseModel]] = {"data": Data, "recipe": Recipe, "parameters": Parameters}
BLOCK = 1_000  # rows that are made into records at a time

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
Stamp = tuple[int, int, int]  # size, times of change of content and of the file, ns
NOT_SETTLED: Stamp = (-1, 0, 0)  # that of no file

TABLES = f"""
CREATE TABLE version (text TEXT);
CREATE TABLE shared (id INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE records (
    name BLOB PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER, fault TEXT, status TEXT, total REAL,
    rest TEXT, {", ".join(f"{name} INTEGER" for name in SHARED)}
);
CREATE TABLE answers (
    name BLOB, test TEXT, predictions TEXT, correct TEXT, contributions BLOB, PRIMARY KEY (name, test)
);
"""


class Row(NamedTuple):
    """What the index keeps of one file. fault: what is wrong with it, after its path; then nothing else is known.

    rest: JSON of the record without LONG and SHARED. shared: JSON of each of SHARED. answers: test ("" is the test
    split), digests of predictions and of references, packed contributions.
    """

    name: str
    fault: str | None
    status: str | None = None
    total: float | None = None
    rest: str | None = None
    shared: tuple[str, ...] = ()
    answers: tuple[tuple[str, str, str, bytes | None], ...] = ()


Rows = Callable[[], Iterator[Row]]


class Indexed(Record):
    """A record from the index: a snapshot whose LONG parts are read from its file when they are asked for.

    Raises, where that is no longer possible: StoreError.
    """

    _index: Any = PrivateAttr(None)
    _test: str = PrivateAttr("")  # an extra test that stands in for the test split

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return getattr(self.whole(), name) if name in LONG else super().__getattr__(name)

    def __eq__(self, other: object) -> bool:
        return self.whole() == (other.whole() if isinstance(other, Indexed) else other)

    __hash__ = None  # type: ignore[assignment]  # as every record

    def whole(self) -> Record:
        """All of it, from its file."""
        index: Index = self._index
        found = index.store.read(self.id)
        if found is None or found.finished_at != self.finished_at:
            raise StoreError(f"{index.store.path(self.id)} has changed since it was looked at; do that again.")
        return found.on(self._test) if self._test else found

    def on(self, extra_test: str) -> Record:
        found = self.extra_tests.get(extra_test)
        cell = {**self.cell.__dict__, "task": f"{self.cell.task}/{extra_test}"}
        fields = {
            **self.__dict__,
            "cell": _made(Cell, cell),
            "extra_tests": {},
            "scores": found.scores if found else {},
            "constant_score": found.constant_score if found else None,
        }
        return _made(Indexed, fields, {"_index": self._index, "_test": extra_test})

    def to_json(self) -> str:
        return self.whole().to_json()

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return self.whole().model_dump(**options)


class IndexedExtraTest(ExtraTest):
    """An extra test of an `Indexed`, whose answers are read from the record's file when they are asked for."""

    _of: Any = PrivateAttr(None)  # the index, the record's id, the test's name

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name not in ("predictions", "references"):
                return super().__getattr__(name)
            index, id, test = self._of
            whole = index.store.read(id)
            if whole is None or test not in whole.extra_tests:
                raise StoreError(f"{index.store.path(id)} has changed since it was looked at; do that again.")
            return getattr(whole.extra_tests[test], name)


class KeptAnswers(Answers):
    """Answers that were worked out before."""

    def __init__(self, predictions: str, references: str, packed: bytes | None) -> None:
        self.__dict__.update(predictions=predictions, references=references, contributions=_unpacked(packed))


@answers_of.register
def _(record: Indexed) -> Answers:
    index: Index = record._index
    return index.answers(record.id, record._test) or Answers(record.whole())


class Index:
    """The index of a folder, as its files were when it was opened."""

    def __init__(self, store: Store, content: sqlite3.Connection) -> None:
        self.store, self._content = store, content

    def records(self, ids: Collection[str] | None = None) -> list[Record]:
        """Every readable record, or those of these cells, by id."""
        columns = f"rest, {', '.join(SHARED)}"
        with _no_collection():
            reader = _Reader(self, self._content)
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
        index = opened(folder)
        return None if index is None else question(index)
    except (sqlite3.DatabaseError, ValueError, LookupError, TypeError):
        with suppress(OSError):
            (folder.root / FILE).unlink(missing_ok=True)
        index = opened(folder, anew=True)
        return None if index is None else question(index)


def opened(folder: Store, anew: bool = False) -> Index | None:
    """The folder's index, brought up to date; None for a folder of few records, which needs none."""
    recent = time.time_ns() - int(FRESH_SECONDS * 1e9)
    stamps = _stamps(folder.records)
    if len(stamps) < LEAST:
        return None
    file = folder.root / FILE
    content = None if anew else _existing(file)
    known = _known(content)
    wanted = [name for name, stamp in stamps.items() if known.get(name) != stamp]
    gone = known.keys() - stamps.keys()
    if content is not None and not wanted and not gone:
        return Index(folder, content)
    if len(wanted) >= MANY:
        print(f"Reading {len(wanted):,} records into {file}, once.", file=sys.stderr, flush=True)
    kept = {name: stamps[name] if max(stamps[name][1:]) < recent else NOT_SETTLED for name in wanted}
    return Index(folder, _updated(file, content, lambda: _rows(folder, wanted), gone, kept))


def build(payload: tuple[Path, Sequence[str]], report: Any = None) -> list[Row]:
    """The rows of some files of a records folder; an executor's target."""
    folder, names = payload
    return [_row(folder / name) for name in names]


def _stamps(folder: Path) -> dict[str, Stamp]:
    """How each record file looks, by name in order."""
    found: dict[str, Stamp] = {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                with suppress(FileNotFoundError):  # gone since it was listed
                    status = entry.stat()
                    found[entry.name] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return dict(sorted(found.items()))


def version() -> str:
    """Of the file's layout and of the code that fills it; another one's content may mean something else."""
    modules = [__file__, answers.__file__, record.__file__, store.__file__, stats_contributions.__file__]
    digest = hashlib.sha256(b"".join(Path(str(file)).read_bytes() for file in modules))
    for library in ("numpy", "scipy", "seqeval"):
        digest.update(metadata.version(library).encode())
    return digest.hexdigest()


def _existing(file: Path) -> sqlite3.Connection | None:
    """The index as it is; None where there is none that can be used."""
    if not file.is_file():
        return None
    try:
        content = _connected(file)
        if content.execute("SELECT text FROM version").fetchall() == [(version(),)]:
            return content
        content.close()
    except sqlite3.DatabaseError:
        pass
    return None


def _known(content: sqlite3.Connection | None) -> dict[str, Stamp]:
    """How each file looked when the index took it in."""
    if content is None:
        return {}
    found = content.execute("SELECT name, size, modified, changed FROM records")
    return {os.fsdecode(name): (size, modified, changed) for name, size, modified, changed in found}


def _rows(folder: Store, names: Sequence[str]) -> Iterator[Row]:
    if len(names) < MANY:
        yield from build((folder.records, names))
        return
    chunks = {str(at): names[at : at + CHUNK] for at in range(0, len(names), CHUNK)}
    jobs = (Job(key, (folder.records.absolute(), chunk)) for key, chunk in list(chunks.items()))
    workers = LocalExecutor(f"{__name__}:build", min(MOST_PROCESSES, cpu_cores_allowed()))
    with closing(workers.run(jobs)) as events:
        for event in events:
            if isinstance(event, Finished):
                del chunks[event.key]
                yield from event.result
    for chunk in chunks.values():  # whatever became of the process that had it
        yield from build((folder.records, chunk))


def _row(path: Path) -> Row:
    try:
        found = store.read_file(path)
    except StoreError as error:
        return Row(path.name, json.dumps(str(error).removeprefix(str(path))))
    long: dict[str, Any] = dict.fromkeys(LONG, True)
    long["extra_tests"] = {"__all__": {"predictions", "references"}}
    fields = found.model_dump(mode="json", exclude=long)
    fields["seed"] = fields["cell"].pop("seed")
    shared = tuple(json.dumps(fields.pop(name)) for name in SHARED)
    kept = []
    if found.status == "ok":
        for test in ("", *found.extra_tests):
            each = Answers(found.on(test) if test else found)
            kept.append((json.dumps(test), each.predictions, each.references, _packed(each.contributions)))
    total = found.timeline.get("total")
    return Row(path.name, None, found.status, total, json.dumps(fields), shared, tuple(kept))


def _updated(
    file: Path, content: sqlite3.Connection | None, rows: Rows, gone: Iterable[str], stamps: dict[str, Stamp]
) -> sqlite3.Connection:
    """The index with these rows in place of what it had of them: in its file, or in memory where that cannot be."""
    temporary = file.with_name(f".{FILE}.{secrets.token_hex(8)}.tmp")
    try:
        store.sweep(file.parent, f".{FILE}.*.tmp", ABANDONED_SECONDS)
        temporary.touch(exist_ok=False)
        with closing(sqlite3.connect(temporary, isolation_level=None)) as writing:
            # What a crash leaves half-written has not got its name yet.
            writing.execute("PRAGMA journal_mode = OFF")
            writing.execute("PRAGMA synchronous = OFF")
            _fill(writing, content, rows(), gone, stamps)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        found = _connected(temporary)
        found.execute("SELECT text FROM version").fetchone()  # it is open from here on, under whatever name
        temporary.replace(file)
        return found
    except (OSError, sqlite3.OperationalError):
        in_memory = sqlite3.connect(":memory:", isolation_level=None)
        _fill(in_memory, content, rows(), gone, stamps)
        return in_memory
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _fill(
    writing: sqlite3.Connection,
    content: sqlite3.Connection | None,
    rows: Iterable[Row],
    gone: Iterable[str],
    stamps: dict[str, Stamp],
) -> None:
    if content is not None:
        content.backup(writing)
    writing.execute("BEGIN")
    if content is None:
        for table in filter(str.strip, TABLES.split(";")):
            writing.execute(table)
        writing.execute("INSERT INTO version VALUES (?)", (version(),))
    for each in gone:
        _forget(writing, os.fsencode(each))
    shared: dict[str, int] = dict(writing.execute("SELECT text, id FROM shared"))
    for row in rows:
        name = os.fsencode(row.name)
        _forget(writing, name)
        for text in row.shared:
            if text not in shared:
                shared[text] = len(shared)
                writing.execute("INSERT INTO shared VALUES (?, ?)", (shared[text], text))
        ids = [shared[text] for text in row.shared] if row.shared else [None] * len(SHARED)
        values = (name, *stamps[row.name], row.fault, row.status, row.total, row.rest, *ids)
        writing.execute(f"INSERT INTO records VALUES ({', '.join('?' * len(values))})", values)
        writing.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?)", [(name, *each) for each in row.answers])
    writing.execute("COMMIT")


def _forget(writing: sqlite3.Connection, name: bytes) -> None:
    writing.execute("DELETE FROM records WHERE name = ?", (name,))
    writing.execute("DELETE FROM answers WHERE name = ?", (name,))


def _connected(file: Path) -> sqlite3.Connection:
    # Immutable: nobody writes into an index, a new one takes its place.
    return sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)


def _packed(values: Floats | None) -> bytes | None:
    return None if values is None else zlib.compress(values.astype("<f8").tobytes(), 1)


def _unpacked(packed: bytes | None) -> Floats | None:
    return None if packed is None else np.frombuffer(zlib.decompress(packed), dtype="<f8")


class _Reader:
    """Makes records of the index's rows; what they share is one object, as a hundred thousand would not fit else."""

    def __init__(self, index: Index, content: sqlite3.Connection) -> None:
        self._index, self._texts = index, dict(content.execute("SELECT id, text FROM shared"))
        self._made: dict[tuple[str, int], Any] = {}
        self._parts: dict[Any, Any] = {}
        self._private = {"_index": index, "_test": ""}

    def records(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[Record]:
        rows = iter(rows)
        while block := list(islice(rows, BLOCK)):
            # Together, since the keys of one text are the same objects throughout.
            texts = json.loads(f"[{','.join(rest for rest, *_ in block)}]")
            for fields, (_, *ids) in zip(texts, block, strict=True):
                yield self._record(fields, dict(zip(SHARED, ids, strict=True)))

    def _record(self, fields: dict[str, Any], ids: dict[str, int]) -> Record:
        seed = fields.pop("seed")
        fields["cell"] = _made(Cell, {**self._shared("cell", ids["cell"]), "seed": seed})
        for name in SHARED[1:]:
            fields[name] = self._shared(name, ids[name])
        for name, model in (("memory", Memory), ("speed", Speed)):
            if fields[name] is not None:
                fields[name] = _made(model, fields[name])
        fields["extra_tests"] = {
            test: _made(IndexedExtraTest, found, {"_of": (self._index, fields["id"], test)})
            for test, found in fields["extra_tests"].items()
        }
        return _made(Indexed, fields, self._private)

    def _shared(self, name: str, id: int) -> Any:
        if (name, id) not in self._made:
            value = json.loads(self._texts[id])
            if name == "cell":
                value = Cell(**value, seed=0).__dict__
                for part in ("profile", "budget"):  # fewer than there are rows
                    value[part] = self._parts.setdefault(value[part], value[part])
            elif value is not None and name in MODELS:
                value = MODELS[name](**value)
            self._made[name, id] = value
        return self._made[name, id]


def _made(model: type[M], fields: dict[str, Any], private: dict[str, Any] | None = None) -> M:
    """An object of these fields, which were validated before: as if it came out of a pickle."""
    made = model.__new__(model)
    made.__setstate__(
        {
            "__dict__": fields,
            "__pydantic_fields_set__": _names(model),
            "__pydantic_extra__": None,
            "__pydantic_private__": private,
        }
    )
    return made


@cache
def _names(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


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
