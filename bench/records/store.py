"""Records on disk: one JSON file a cell, written whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from bench.errors import StoreError, UsageError, first_error
from bench.files import remove_stale, write_atomically
from bench.records.record import READABLE_VERSIONS, Record

Stamp = tuple[int, int, int]
"""What tells one writing of a file from another, without a clock that would have to be right."""

MAX_BYTES = 64 * 1024**2  # of one record; of a test split of 40,000 examples the predictions take 0.1 MiB


class NewerRecord(StoreError):
    """A record that only a newer version of bench can read. It is whole, so nothing is ever written over it."""


class Store:
    """The records of one results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = root / "records"
        self.damaged = root / "damaged"

    def path(self, cell_id: str) -> Path:
        return self.records / f"{cell_id}.json"

    def adapter(self, cell_id: str) -> Path:
        """The folder of a cell's trained adapter, where `--keep-adapters` asked for it."""
        return self.root / "adapters" / cell_id

    def write(self, record: Record) -> None:
        """Put a record in its place. What lies there and is no record is evidence: it is moved to `damaged`.

        Raises:
            StoreError: if it cannot be written. NewerRecord: if what lies there is not ours to replace.
        """
        path = self.path(record.id)
        try:
            self.read(record.id)
        except NewerRecord:
            raise
        except StoreError:
            self._set_aside(path)
        write_atomically(path, record.to_json())

    def stamp(self, cell_id: str) -> Stamp | None:
        """The stamp of a cell's record, which every writing changes; None where there is none."""
        try:
            found = self.path(cell_id).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def remove_stale(self) -> None:
        """Remove the temporary files that killed processes left here; recent ones may still be written to."""
        for folder in (self.root, self.records):
            remove_stale(folder, ".*.tmp")

    def read(self, cell_id: str) -> Record | None:
        """The record of a cell; None where there is none.

        Raises:
            StoreError: if it is there and is no record of a readable schema version.
        """
        path = self.path(cell_id)
        return read_file(path) if path.exists() else None

    def sound(self, cell_id: str) -> Record | None:
        """The record of a cell; None where there is none, or a damaged one.

        Raises:
            NewerRecord: if only a newer version of bench can tell.
        """
        try:
            return self.read(cell_id)
        except NewerRecord:
            raise
        except StoreError:
            return None

    def finished(self, cell_id: str) -> Record | None:
        """The record of a cell that need not be run again.

        Raises:
            NewerRecord: if only a newer version of bench can tell.
        """
        record = self.sound(cell_id)
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

    def _set_aside(self, path: Path) -> None:
        try:
            self.damaged.mkdir(parents=True, exist_ok=True)
            path.rename(self.damaged / f"{path.stem}.{secrets.token_hex(4)}.json")
        except FileNotFoundError:
            pass  # another process was quicker
        except OSError as error:
            raise StoreError(f"{path} is damaged and cannot be moved to {self.damaged}: {error.strerror}.") from None

    def _paths(self) -> Iterator[Path]:
        return iter(sorted(self.records.glob("[!.]*.json")))


def read_file(path: Path) -> Record:
    """The record in a file, whoever wrote it.

    Raises:
        StoreError: if there is none, whole and of a readable schema version, beginning with the path.
    """
    try:
        # Records are written as plain files. A link may lead anywhere, and a pipe or a device has no end.
        if path.is_symlink() or not path.is_file():
            raise StoreError(f"{path} is not a plain file, so it is not read as a record.")
        if path.stat().st_size > MAX_BYTES:
            raise StoreError(f"{path} is larger than {MAX_BYTES // 1024**2} MiB, and so no record.")
        # Refuses NaN and nesting that is deeper than any record's; of a key that comes twice the last one counts.
        content = from_json(path.read_bytes(), allow_inf_nan=False)
        version = content.get("schema_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > max(READABLE_VERSIONS):
            raise NewerRecord(
                f"{path} was written by a newer version of bench: it says {version}, and this one reads schema "
                f"versions up to {max(READABLE_VERSIONS)}. Upgrade bench, or choose another results folder."
            )
        if version not in READABLE_VERSIONS:
            readable = " or ".join(map(str, READABLE_VERSIONS))
            raise StoreError(
                f"{path} is not a record of schema version {readable}, which this version of bench reads: "
                f"it says {version!r}."
            )
        record = Record.model_validate(content)
    except ValidationError as error:
        raise StoreError(f"{path} is not a record: {': '.join(first_error(error))}.") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as a record: {error}.") from None
    if record.id != path.stem:
        raise StoreError(f"{path} holds the record of another cell, {record.id}.")
    return record
