"""The identity of local files: a hash over names and contents."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.errors import SourceError


def file_sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def tree_digest(path: Path) -> str:
    """'tree-sha256:' and a hash over the names and contents of a file, or of all files below a folder.

    Hidden files and folders, empty folders, file times and the name of the folder itself do not count. A folder of the
    hub's own cache (REPOSITORY/snapshots/COMMIT) may link to that repository's files (REPOSITORY/blobs).

    Raises:
        SourceError: if there is no file, or one that cannot be read, is no plain file or links to outside.
    """
    try:
        root = path.resolve()
        if not (root.is_dir() or root.is_file()):  # a pipe or a device may have no end
            raise SourceError(f"{path} is neither a plain file nor a folder.")
        files = dict(_files(root, root, _allowed(root))) if root.is_dir() else {root.name: root}
        if not files:
            raise SourceError(f"The folder {path} contains no files.")
        digest = hashlib.sha256()
        for name in sorted(files):
            # No name contains a NUL and every content hash is 32 bytes, so no two trees give the same stream.
            digest.update(os.fsencode(name) + b"\0" + file_sha256(files[name]))
    except OSError as error:
        raise SourceError(f"Cannot read {error.filename or path} ({error.strerror or error}).") from error
    except RuntimeError as error:
        raise SourceError(f"Cannot read {path} ({error}).") from error  # a cycle of links
    return f"tree-sha256:{digest.hexdigest()}"


def _allowed(root: Path) -> list[Path]:
    """The folders that links below a folder may lead to."""
    in_cache = [at.parents[1] for at in (root, *root.parents) if at.parent.name == "snapshots"]
    return [root, *(each / "blobs" for each in in_cache if each.name.startswith(("models--", "datasets--")))]


def _files(folder: Path, root: Path, allowed: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """The name relative to `root` and the path of every file below a folder that is not hidden."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if not any(path.resolve().is_relative_to(each) for each in allowed):
            raise SourceError(f"{path} links to outside of {root}; copy the target into the folder.")
        if path.is_dir():
            if not path.is_symlink():  # else its files are below the same root, and are counted there
                yield from _files(path, root, allowed)
        elif path.is_file():
            yield path.relative_to(root).as_posix(), path
        else:
            raise SourceError(f"{path} is not a plain file.")
