"""Files written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from bench.errors import StoreError

STALE_SECONDS = 24 * 3600.0  # a temporary file of this age belongs to a process that was killed: writing takes moments


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content in one move, never half of it; a StoreError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(path)
        # Not mkstemp, whose files only their owner may read: here the umask decides.
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
        sync_folder(path.parent)  # so that the new name, too, outlives a power cut
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from None


def temporary_path(path: Path) -> Path:
    """A unique name beside `path` for what is renamed to it once it is complete; it matches `.*.tmp`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def remove_stale(folder: Path, pattern: str) -> None:
    """Remove the temporary files and folders of these names that killed processes left behind."""
    for path in folder.glob(pattern):
        with suppress(OSError):  # another run may remove it at the same time
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk; Windows has no such call."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
