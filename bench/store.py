"""Records on disk: one JSON file a cell, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from bench.errors import BenchError, UsageError
from bench.record import READABLE_VERSIONS, Record


class StoreError(BenchError):
    """A results folder that cannot be written, or a record that cannot be read."""


def write_atomically(path: Path, text: str) -> None:
    """Put a text in place of a file in one move, so that no reader and no crash ever sees half of it.

    Raises:
        StoreError: if the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        # A file of one's own that others may read as the umask says; mkstemp's are their owner's alone.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from None


class Store:
    """The records of one results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = root / "records"

    def path(self, cell_id: str) -> Path:
        return self.records / f"{cell_id}.json"

    def adapter(self, cell_id: str) -> Path:
        """The folder of a cell's trained adapter, where `--keep-adapters` asked for it."""
        return self.root / "adapters" / cell_id

    def write(self, record: Record) -> None:
        write_atomically(self.path(record.id), record.to_json())

    def read(self, cell_id: str) -> Record | None:
        """The record of a cell; None where there is none.

        Raises:
            StoreError: if it is there and is no record of a readable schema version.
        """
        path = self.path(cell_id)
        return read_file(path) if path.exists() else None

    def finished(self, cell_id: str) -> Record | None:
        """The record of a cell that need not be run again. An unreadable record is no finished cell."""
        try:
            record = self.read(cell_id)
        except StoreError:
            return None
        return record if record is not None and record.status == "ok" else None

    def find(self, prefix: str) -> Record:
        """The record whose id starts so.

        Raises:
            UsageError: if there is none, or more than one.
        """
        paths = [path for path in self._paths() if path.stem.startswith(prefix)]
        if len(paths) != 1:
            what = "no cell" if not paths else f"{len(paths)} cells"
            raise UsageError(f"{what.capitalize()} of {self.root} has an id that starts with {prefix!r}.")
        return read_file(paths[0])

    def all(self) -> tuple[list[Record], list[str]]:
        """Every readable record, by id, and what is wrong with each of the others."""
        records, faults = [], []
        for path in self._paths():
            try:
                records.append(read_file(path))
            except StoreError as error:
                faults.append(str(error))
        return records, faults

    def _paths(self) -> Iterator[Path]:
        return iter(sorted(self.records.glob("[!.]*.json")))


def read_file(path: Path) -> Record:
    """The record in a file.

    Raises:
        StoreError: if there is none of a readable schema version, beginning with the path.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version not in READABLE_VERSIONS:
            readable = " or ".join(map(str, READABLE_VERSIONS))
            raise StoreError(
                f"{path} is not a record of schema version {readable}, which this version of bench reads: "
                f"it says {version!r}."
            )
        record = Record(**content)
    except ValidationError as error:
        fault = error.errors()[0]
        raise StoreError(f"{path} is not a record: {'.'.join(map(str, fault['loc']))}: {fault['msg']}.") from None
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} cannot be read as a record: {error}.") from None
    if record.id != path.stem:
        raise StoreError(f"{path} holds the record of another cell, {record.id}.")
    return record
