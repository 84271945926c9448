"""Extracts one file or folder from a wheel or sdist that may be hostile.

The archive is only read: nothing in it is installed, imported or executed. Only plain files are written.
"""

import difflib
import errno
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Self, cast

from bench.errors import SourceError

MAX_BYTES = 2 * 1024**3  # extracted; the largest built-in source has 0.1 GiB
MAX_FILES = 10_000
_CHUNK = 1024**2
_UNSAFE = "The archive is unsafe and was not used"
_EXTENDED_HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


class _TarInfo(tarfile.TarInfo):
    """Refuses a long name or extended attributes of gigabytes, which tarfile would read into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _EXTENDED_HEADERS and info.size > _CHUNK:
            raise SourceError(f"{_UNSAFE}: it contains an over-long file name.")
        return info


class _Member(NamedTuple):
    """A zip's or tar's entry that is not a folder. is_file: a plain file, not a link or a device."""

    path: str
    is_file: bool
    size: int
    open: Callable[[], IO[bytes] | None]  # None only if not is_file


def extract(archive: Path, inner: str, destination: Path) -> None:
    """Write the file or folder `inner` of a wheel or sdist to `destination`, which must not exist yet.

    Everything is checked from the archive's listing before the first byte is written, and the size again while writing,
    since a listing can lie. The caller removes what a failure leaves behind.

    Raises:
        SourceError: if the archive is damaged, unsafe or too large, or does not contain `inner`.
        OSError: if `destination` cannot be written.
    """
    with _damage_as_source_error(), _opened(archive) as members:
        chosen = [member for member in members if PurePosixPath(member.path).is_relative_to(inner)]
        if not chosen:
            near = difflib.get_close_matches(inner, [member.path for member in members])
            hint = f"; near matches are {', '.join(near)}" if near else ""
            raise SourceError(f"The archive has no file or folder {inner!r}{hint}.")
        _check(chosen)
        left = MAX_BYTES
        for member in chosen:
            target = destination / PurePosixPath(member.path).relative_to(inner)
            target.parent.mkdir(parents=True, exist_ok=True)
            left -= _write(member, target, left)


@contextmanager
def _damage_as_source_error() -> Iterator[None]:
    """zipfile, tarfile and the decompressors raise errors with no common base class."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: a seek before the start
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SourceError(f"The archive is damaged ({reason}).") from error


@contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    with archive.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    with zipfile.ZipFile(archive) if is_zip else tarfile.open(archive, tarinfo=_TarInfo) as opened:
        members = list(_zip_members(opened) if isinstance(opened, zipfile.ZipFile) else _tar_members(opened))
        if not any(re.fullmatch(r"[^/]+\.dist-info/WHEEL", member.path) for member in members):
            # An sdist has everything in one folder NAME-VERSION/, which is not part of a reference.
            members = [member._replace(path=member.path.partition("/")[2]) for member in members]
        yield members


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        # orig_filename: zipfile cuts `filename` off at a NUL.
        name, mode = _safe_name(info.orig_filename), info.external_attr >> 16
        if not info.is_dir():
            is_file = stat.S_IFMT(mode) in (0, stat.S_IFREG)  # 0: made without Unix modes
            yield _Member(name, is_file, info.file_size, partial(archive.open, info))


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        name = _safe_name(info.name)
        if not info.isdir():
            yield _Member(name, info.isfile(), info.size, partial(archive.extractfile, info))


def _safe_name(name: str) -> str:
    """The name without `./` and repeated slashes; refused if it leads outside, on any system, or is not printable."""
    unprintable = any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
    if unprintable or "\\" in name or ".." in name.split("/") or re.match(r"/|[A-Za-z]:", name):
        raise SourceError(f"{_UNSAFE}: it has a member called {name!r}.")
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _check(chosen: list[_Member]) -> None:
    """Refuse anything but plain files, each with a path of its own, within the limits."""
    for member in chosen:
        if not member.is_file:
            raise SourceError(f"{_UNSAFE}: {member.path!r} is a link or a device, not a file.")
    names = [member.path for member in chosen]
    names += {str(parent) for name in names for parent in PurePosixPath(name).parents}
    # Some file systems take `A` and `a`, or two Unicode forms of one letter, for the same name.
    if len({unicodedata.normalize("NFC", name).casefold() for name in names}) < len(names):
        raise SourceError(f"{_UNSAFE}: two of its members have the same name.")
    if len(chosen) > MAX_FILES:
        raise SourceError(f"The archive has {len(chosen):,} files there; at most {MAX_FILES:,} are extracted.")
    _check_size(sum(member.size for member in chosen), MAX_BYTES)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise SourceError(f"The archive unpacks to more than {MAX_BYTES / 1e6:,.1f} MB, the limit.")


def _write(member: _Member, target: Path, limit: int) -> int:
    """Write one member, at most `limit` bytes of it; returns its size in bytes."""
    size = 0
    with cast(IO[bytes], member.open()) as stream, target.open("xb") as file:
        while block := stream.read(_CHUNK):
            size += len(block)
            _check_size(size, limit)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return size
