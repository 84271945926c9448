"""Takes one file or folder out of a wheel or sdist, trusting nothing that the archive says about itself.

The archive is only read: nothing in it is installed, imported or executed.
"""

import difflib
import errno
import os
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Self, cast

from bench.errors import SourceError

MAX_BYTES = 2 * 1024**3  # of what is taken out, uncompressed; the largest embedded default has 0.1 GiB
MAX_MEMBERS = 10_000
CHUNK = 1024 * 1024


_HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


class _TarInfo(tarfile.TarInfo):
    """An entry whose long name or attributes, which tarfile reads into memory whole, are not gigabytes."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _HEADERS and found.size > CHUNK:
            raise SourceError("The archive is unsafe and was not used: a name in it is longer than any name is.")
        return found


@dataclass(frozen=True)
class _Member:
    """What is common to a zip's and a tar's entries. `path` is without an sdist's NAME-VERSION/ folder."""

    path: str
    kind: Literal["file", "folder", "other"]
    size: int
    open: Callable[[], IO[bytes] | None]  # None only for what is not a file


def extract(archive: Path, inner: str, destination: Path) -> None:
    """Write the file or folder `inner` of a wheel or sdist to `destination`, which must not exist yet.

    Everything is checked from the archive's listing before the first byte is written, and the size again
    while writing, since a listing can lie. What a failure leaves half done is the caller's to remove.
    Raises SourceError for an archive that is damaged, unsafe or too large, or that does not hold `inner`.
    """
    with _opened(archive) as members:
        chosen = [member for member in members if PurePosixPath(member.path).is_relative_to(inner)]
        files = [member for member in chosen if member.kind != "folder"]
        if not files:
            raise SourceError(_missing(inner, members))
        _check(chosen, files)
        left = MAX_BYTES
        with writing(destination.parent, sum(member.size for member in files)):
            for member in files:
                to = destination / PurePosixPath(member.path).relative_to(inner)
                to.parent.mkdir(parents=True, exist_ok=True)
                left -= _write(member, to, left)


@contextmanager
def writing(folder: Path, needed: int | None = None) -> Iterator[None]:
    """Turn an OSError from writing below `folder` into a SourceError; `needed` is in bytes, if known."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
            want = "an unknown size is" if needed is None else f"{in_mb(needed)} is"
            raise SourceError(
                f"The disk is full: {want} needed in {folder}, where {in_mb(free)} is free; make room there, "
                "or set BENCH_CACHE to a folder on another disk."
            ) from error
        raise SourceError(
            f"Cannot write in {folder} ({error.strerror or error}); set BENCH_CACHE to a folder that you can write in."
        ) from error


def in_mb(size: int) -> str:
    """A size in bytes as people read it, in units of 10^6 bytes."""
    return f"{size / 1e6:,.1f} MB"


@contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    with archive.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    unreadable = f"The archive {archive} cannot be read"
    with _reading(unreadable):
        opened = zipfile.ZipFile(archive) if is_zip else tarfile.open(archive, tarinfo=_TarInfo)  # noqa: SIM115 - closed below
    with opened:
        with _reading(unreadable):
            if isinstance(opened, zipfile.ZipFile):
                members = list(_zip_members(opened))
                sdist = not any(re.fullmatch(r"[^/]+\.dist-info/WHEEL", member.path) for member in members)
            else:
                members = list(_tar_members(opened))
                sdist = True
        if sdist:  # everything is in one folder NAME-VERSION/, which says nothing that the reference does not
            members = [_Member(m.path.partition("/")[2], m.kind, m.size, m.open) for m in members]
        yield members


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn what zipfile, tarfile and the decompressors make of damage into a SourceError: they agree on no class."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{what} ({str(error) or type(error).__name__}).") from error


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        mode = info.external_attr >> 16  # 0 where the archive was made without Unix modes
        kind: Literal["file", "folder", "other"] = "other"
        if info.is_dir():
            kind = "folder"
        elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
            kind = "file"
        # orig_filename, because zipfile cuts `filename` off at a NUL and hides what comes after.
        yield _Member(_safe(info.orig_filename), kind, info.file_size, partial(archive.open, info))


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        kind: Literal["file", "folder", "other"] = "other"
        if info.isdir():
            kind = "folder"
        elif info.isfile():
            kind = "file"
        yield _Member(_safe(info.name), kind, info.size, partial(archive.extractfile, info))


def _safe(name: str) -> str:
    """The member's name without `./` and trailing slashes; no well-made archive has a name refused here."""
    if (
        name.startswith("/")
        or "\\" in name
        or ".." in name.split("/")
        or re.match(r"[A-Za-z]:", name)
        or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
    ):
        raise SourceError(f"The archive is unsafe and was not used: it has a member called {name!r}.")
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _check(chosen: Iterable[_Member], files: list[_Member]) -> None:
    """Refuse what cannot be written as plain files, each at a place of its own, within the limits."""
    taken: dict[str, tuple[str, str]] = {}

    def take(path: str, kind: str) -> None:
        # Folded, because a Mac's or Windows' file system takes `A` and `a` for one file.
        folded = unicodedata.normalize("NFC", path).casefold()
        if folded in taken and (kind == "file" or taken[folded] != (path, kind)):
            raise SourceError(
                f"The archive is unsafe and was not used: {taken[folded][0]!r} and {path!r} are one name."
            )
        taken[folded] = (path, kind)

    for member in chosen:
        if member.kind == "other":
            raise SourceError(
                f"The archive is unsafe and was not used: {member.path!r} is a link or a device, not a file."
            )
        for parent in PurePosixPath(member.path).parents:
            take(str(parent), "folder")
        take(member.path, member.kind)
    if len(files) > MAX_MEMBERS:
        raise SourceError(f"The archive holds {len(files):,} files there; at most {MAX_MEMBERS:,} are taken out.")
    if sum(member.size for member in files) > MAX_BYTES:
        raise SourceError(_too_large())


def _write(member: _Member, to: Path, limit: int) -> int:
    """Write one member, at most `limit` bytes of it, and return its size in bytes."""
    size = 0
    with to.open("xb") as file:
        for block in _blocks(member):
            size += len(block)
            if size > limit:
                raise SourceError(_too_large())
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return size


def _blocks(member: _Member) -> Iterator[bytes]:
    damaged = f"The archive is damaged: {member.path!r} cannot be read"
    with _reading(damaged), cast(IO[bytes], member.open()) as stream:
        while block := stream.read(CHUNK):
            yield block


def _too_large() -> str:
    return f"The archive unpacks to more than {in_mb(MAX_BYTES)}, the most that is taken out of one."


def _missing(inner: str, members: Iterable[_Member]) -> str:
    paths = {member.path for member in members}
    paths |= {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    name = PurePosixPath(inner).name
    near = [path for path in sorted(paths) if PurePosixPath(path).name == name][:3]
    near += difflib.get_close_matches(inner, paths - {*near, "", "."}, n=3)
    hint = f"; near matches are {', '.join(near)}" if near else ""
    return f"The archive holds no file or folder {inner!r}{hint}."
