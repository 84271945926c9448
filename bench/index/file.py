"""The index's file: made, brought up to date, and replaced as a whole."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from importlib import metadata
from pathlib import Path

from bench import files
from bench.executors import Finished, Job
from bench.executors.local import LocalExecutor
from bench.index import rows
from bench.index.rows import SHARED, Row
from bench.profiles.probe import cpu_cores_allowed
from bench.records import predictions, record, store
from bench.records.store import Store
from bench.stats import contributions

FILE = "index.sqlite"
LEAST = 500  # records; reading fewer takes no time
MANY = 2_000  # files that are worth more than one process, and a word to whoever waits
CHUNK = 250  # files that a process reads at a time
MOST_PROCESSES = 8
FRESH_SECONDS = 2.0
"""A file changed so shortly before it is read may change again and look the same, as file systems' clocks are coarse:
it is read again the next time."""
ABANDONED_SECONDS = 3600.0  # a temporary index is large, and is not left for a day

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

Rows = Callable[[], Iterator[Row]]


def opened(folder: Store, anew: bool = False) -> sqlite3.Connection | None:
    """The folder's index, brought up to date and open for reading; None for a folder of few records."""
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
        return content
    if len(wanted) >= MANY:
        print(f"Reading {len(wanted):,} records into {file}, once.", file=sys.stderr, flush=True)
    kept = {name: stamps[name] if max(stamps[name][1:]) < recent else NOT_SETTLED for name in wanted}
    return _updated(file, content, lambda: _rows(folder, wanted), gone, kept)


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
    modules = [__file__, rows.__file__, predictions.__file__, record.__file__, store.__file__, contributions.__file__]
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
        yield from rows.build((folder.records, names))
        return
    chunks = {str(at): names[at : at + CHUNK] for at in range(0, len(names), CHUNK)}
    jobs = (Job(key, (folder.records.absolute(), chunk)) for key, chunk in list(chunks.items()))
    workers = LocalExecutor(f"{rows.__name__}:build", min(MOST_PROCESSES, cpu_cores_allowed()))
    with closing(workers.run(jobs)) as events:
        for event in events:
            if isinstance(event, Finished):
                del chunks[event.key]
                yield from event.result
    for chunk in chunks.values():  # whatever became of the process that had it
        yield from rows.build((folder.records, chunk))


def _updated(
    file: Path, content: sqlite3.Connection | None, rows: Rows, gone: Iterable[str], stamps: dict[str, Stamp]
) -> sqlite3.Connection:
    """The index with these rows in place of what it had of them: in its file, or in memory where that cannot be."""
    temporary = files.temporary_path(file)
    try:
        files.remove_stale(file.parent, f".{FILE}.*.tmp")
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
