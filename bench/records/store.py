"""Records on disk: one JSON file a cell, written whole or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from bench.errors import StoreError, UsageError, first_error
from bench.files import remove_stale, write_atomically
from bench.records.record import READABLE_VERSIONS, Record

Fingerprint = tuple[int, int, int]  # of a file: inode, time of change in ns, size
MAX_BYTES = 64 * 1024**2  # of one record; the predictions of 40,000 test examples take 0.1 MiB


class NewerRecord(StoreError):
    """A record that only a newer version of bench can read. It is intact, so it is never overwritten."""


class Store:
    """The records of one results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = root / "records"
        self.damaged = root / "damaged"

    def path(self, cell_id: str) -> Path:
        return self.records / f"{cell_id}.json"

    def write(self, record: Record) -> None:
        """Write a record. A damaged file in its place is moved to `damaged`, so that it can be examined.

        Raises:
            StoreError: if it cannot be written. NewerRecord: if a newer version of bench wrote the file in its place.
        """
        path = self.path(record.id)
        try:
            self.read(record.id)
        except NewerRecord:
            raise
        except StoreError:
            self._set_aside(path)
        write_atomically(path, record.to_json())

    def fingerprint(self, cell_id: str) -> Fingerprint | None:
        """Changes whenever the cell's record is written, and depends on no clock; None if there is no record."""
        try:
            found = self.path(cell_id).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def remove_stale(self) -> None:
        """Remove the temporary files that killed processes left here."""
        for folder in (self.root, self.records):
            remove_stale(folder, ".*.tmp")

    def read(self, cell_id: str) -> Record | None:
        """The record of a cell; None if there is none. A StoreError as from `read_file`."""
        path = self.path(cell_id)
        return read_file(path) if path.exists() else None

    def sound(self, cell_id: str) -> Record | None:
        """The record of a cell; None if there is none, or it is damaged. Raises NewerRecord."""
        try:
            return self.read(cell_id)
        except NewerRecord:
            raise
        except StoreError:
            return None

    def finished(self, cell_id: str) -> Record | None:
        """As `sound`, and None unless the cell finished: then it need not be run again."""
        record = self.sound(cell_id)
        return record if record is not None and record.status == "ok" else None

    def find(self, prefix: str) -> Record:
        """The record with the id that starts with this; a UsageError unless there is exactly one."""
        paths = [path for path in self._paths() if path.stem.startswith(prefix)]
        if len(paths) != 1:
            what = "no cell" if not paths else f"{len(paths)} cells"
            raise UsageError(f"{what.capitalize()} of {self.root} has an id that starts with {prefix!r}.")
        return read_file(paths[0])

    def all(self) -> tuple[list[Record], list[str]]:
        """Every readable record, by id, and what is wrong with each of the other files."""
        records, faults = [], []
        for path in self._paths():
            try:
                records.append(read_file(path))
            except StoreError as error:
                faults.append(str(error))
        return records, faults

    def _set_aside(self, path: Path) -> None:
        try:
            self.damaged.mkdir(parents=True, exist_ok=True)
            path.rename(self.damaged / f"{path.stem}.{secrets.token_hex(4)}.json")
        except FileNotFoundError:
            pass  # another process moved it
        except OSError as error:
            raise StoreError(f"{path} is damaged and cannot be moved to {self.damaged}: {error.strerror}.") from None

    def _paths(self) -> list[Path]:
        return sorted(self.records.glob("[!.]*.json"))


def read_file(path: Path) -> Record:
    """The record in a file, which may come from anywhere.

    Raises:
        StoreError: if the file is not a complete record of a readable schema version; the message starts with the path.
    """
    try:
        # A link may lead anywhere, and a pipe or device may never end.
        if path.is_symlink() or not path.is_file():
            raise StoreError(f"{path} is not a plain file, so it is not read as a record.")
        if path.stat().st_size > MAX_BYTES:
            raise StoreError(f"{path} is larger than {MAX_BYTES // 1024**2} MiB, too large for a record.")
        # Refuses NaN and deep nesting; of a duplicate key the last one counts.
        content = from_json(path.read_bytes(), allow_inf_nan=False)
        version = content.get("schema_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > max(READABLE_VERSIONS):
            raise NewerRecord(
                f"{path} was written by a newer version of bench: its schema version is {version}, and this one reads "
                f"up to {max(READABLE_VERSIONS)}. Upgrade bench, or choose another results folder."
            )
        if version not in READABLE_VERSIONS:
            readable = " or ".join(map(str, READABLE_VERSIONS))
            raise StoreError(
                f"{path} is not a record of schema version {readable}, which this version of bench reads: its schema "
                f"version is {version!r}."
            )
        record = Record.model_validate(content)
    except ValidationError as error:
        raise StoreError(f"{path} is not a record: {': '.join(first_error(error))}.") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as a record: {error}.") from None
    if record.id != path.stem:
        raise StoreError(f"{path} holds the record of another cell, {record.id}.")
    return record
