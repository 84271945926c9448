"""Makes what a reference names available locally: one pinned reference in, one local file or folder out."""

import fnmatch
import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import platformdirs
from filelock import FileLock

from bench.errors import SourceError
from bench.files import sync_folder
from bench.sources.archives import extract
from bench.sources.digest import file_sha256, tree_digest
from bench.sources.package_index import OnProgress, download
from bench.sources.references import HubRef, PackageRef, exists, parse

# Downloaded from the hub. Neither code nor a format that can run code when it is loaded, such as pickles.
HUB_FILES = {
    "model": ("*.safetensors", "*.json", "*.txt", "*.model"),
    "dataset": ("*.parquet", "*.json", "*.jsonl", "*.csv", "*.tsv", "*.txt"),
}

_COMMIT = r"[0-9a-f]{40}"


@dataclass(frozen=True)
class Resolved:
    """A reference made local. Two with the same `revision` and inner path have the same content.

    revision: "sha256:<of the archive>", "commit:<40 hex>" or "tree-sha256:<hex>". note: the commit that a reference
    without one stood for, in a sentence.
    """

    path: Path
    revision: str
    note: str | None = field(default=None, compare=False)


def resolve(
    ref: str, *, mirror: Path | None = None, on_progress: OnProgress | None = None, weights: bool = True
) -> Resolved:
    """Make what `ref` names available locally, downloading it if necessary.

    Args:
        mirror: a folder, laid out OWNER/NAME, that is searched before the hub. Default: BENCH_MIRROR.
        on_progress: called while a package downloads.
        weights: whether those of a model are needed from the hub, beside its configuration and tokenizer.

    Raises:
        SourceError: says what was looked for, where, and what to do.
    """
    found = parse(ref)
    if isinstance(found, PackageRef):
        return _resolve_package(found, on_progress)
    if isinstance(found, HubRef):
        return _resolve_hub(found, _mirror(mirror), weights)
    path = _expand(found.path)
    if not exists(path):
        raise SourceError(f"There is no file or folder {path}.")
    return Resolved(path.resolve(), tree_digest(path))


def local(ref: str, mirror: Path | None = None) -> Resolved | None:
    """What `ref` names if it is available locally, else None; nothing is downloaded."""
    found = parse(ref)
    if isinstance(found, PackageRef) and not _package_folder(found).is_dir():
        return None
    folder = _mirror(mirror)
    # The hub's own cache is not searched: only the hub's library knows what is complete in it, and it asks the hub.
    if isinstance(found, HubRef) and (folder is None or not exists(_in_mirror(folder, found))):
        return None
    try:
        return resolve(ref, mirror=mirror)
    except SourceError:
        return None


def cache_dir() -> Path:
    """The folder for downloads: BENCH_CACHE, or one in the user's cache. It may not exist yet."""
    configured = os.environ.get("BENCH_CACHE")
    return _expand(Path(configured)).absolute() if configured else platformdirs.user_cache_path("pasta-bench")


def _expand(path: Path) -> Path:
    try:
        return path.expanduser()
    except (RuntimeError, ValueError) as error:
        raise SourceError(f"{path} names a home folder that does not exist.") from error


# Packages


def _package_folder(ref: PackageRef) -> Path:
    """The folder in the cache for what a reference names. It exists only if it is complete."""
    key = hashlib.sha256(f"{ref.sha256}/{ref.inner}".encode()).hexdigest()[:16]  # depends on every digit of the pin
    return cache_dir() / "packages" / f"{ref.name}-{ref.version}-{ref.sha256[:16]}" / key


def _resolve_package(ref: PackageRef, on_progress: OnProgress | None) -> Resolved:
    folder, cache, name = _package_folder(ref), cache_dir(), PurePosixPath(ref.inner).name
    try:
        # One process at a time downloads and extracts an archive.
        with nullcontext() if folder.is_dir() else FileLock(cache / ".locks" / f"{ref.sha256}.lock"):
            if not folder.is_dir():
                archive = _archive(ref, cache / "archives", on_progress)
                with _temporary_folder(folder) as partial:
                    extract(archive, ref.inner, partial / name)
                    partial.rename(folder)
                    sync_folder(folder.parent)
    except SourceError as error:
        raise SourceError(f"Cannot get {ref.name}=={ref.version}: {error}") from error
    except OSError as error:
        raise SourceError(
            f"Cannot write in {cache} ({error.strerror or error}); make room there, or set BENCH_CACHE to another "
            "folder."
        ) from error
    return Resolved(folder / name, f"sha256:{ref.sha256}")


def _archive(ref: PackageRef, folder: Path, on_progress: OnProgress | None) -> Path:
    """The archive, its hash checked here too. A downloaded one is kept for other references into it."""
    archive = folder / ref.sha256
    if _has_sha256(archive, ref.sha256):
        return archive
    with _temporary_folder(archive) as partial:
        downloaded = download(ref.name, ref.version, ref.sha256, partial, on_progress)
        if not _has_sha256(downloaded, ref.sha256):
            raise SourceError(f"{downloaded} does not have sha256 {ref.sha256}.")
        return downloaded.replace(archive) if downloaded.parent == partial else downloaded


def _has_sha256(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path).hex() == sha256


@contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, to be filled before `target` gets its name."""
    folder = target.with_name(f".{target.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)  # left by a killed process
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# The hub


def _mirror(given: Path | None) -> Path | None:
    configured = os.environ.get("BENCH_MIRROR")
    chosen = given or (Path(configured) if configured else None)
    return _expand(chosen) if chosen else None


def _in_mirror(mirror: Path, ref: HubRef) -> Path:
    return mirror / ref.repo / (ref.inner or "")


def _resolve_hub(ref: HubRef, mirror: Path | None, weights: bool) -> Resolved:
    if mirror is not None and exists(path := _in_mirror(mirror, ref)):
        return Resolved(path.resolve(), tree_digest(path))
    try:
        snapshot, note = _snapshot(ref, weights)
        path = snapshot / (ref.inner or "")
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            raise SourceError("the repository has no such data in a safe format")
        if not re.fullmatch(_COMMIT, snapshot.name):
            raise SourceError("the download does not say which commit it is")
        if ref.kind == "model" and weights and not any(path.glob("**/*.safetensors")):
            raise SourceError(
                "it has no weights in safetensors, the only format that is loaded, because others can run code; write "
                f"hub:{ref.repo}@refs/pr/NUMBER if a pull request adds them, or load the model with transformers and "
                "give the folder that its save_pretrained writes"
            )
        return Resolved(path, f"commit:{snapshot.name}", note)
    except Exception as error:  # errors of the hub library, its HTTP library and the system: no common base class
        searched = f"the mirror has no {_in_mirror(mirror, ref)}" if mirror else "no mirror is set"
        at = "the current commit" if ref.revision is None else f"revision {ref.revision}"
        raise SourceError(
            f"Cannot get {ref.inner or 'the files'} of the {ref.kind} {ref.repo} at {at}: "
            f"{searched}; on the hub: {_reason(error)}. Connect once and run `python -m bench fetch`, or give --mirror "
            f"DIR (or BENCH_MIRROR) with the repository's files in DIR/{ref.repo}."
        ) from error


def _reason(error: Exception) -> str:
    kind = "" if isinstance(error, SourceError) else f"{type(error).__name__}: "
    return kind + (str(error).strip().splitlines() or [""])[0].rstrip(".")


def _snapshot(ref: HubRef, weights: bool) -> tuple[Path, str | None]:
    """The hub library's local folder for the repository, named after the commit, with the allowed files; and a note."""
    import huggingface_hub  # slow to import

    patterns = [pattern for pattern in HUB_FILES[ref.kind] if weights or pattern != "*.safetensors"]
    if ref.inner:  # a folder, or a file if its name is one that is allowed
        inner, name = glob.escape(ref.inner), PurePosixPath(ref.inner).name
        is_file = any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
        patterns = [f"{inner}/{pattern}" for pattern in patterns] + ([inner] if is_file else [])
    found = ""
    if ref.revision is None or not re.fullmatch(_COMMIT, ref.revision):
        try:
            huggingface_hub.HfApi().repo_info(ref.repo, repo_type=ref.kind, revision=ref.revision)
            found = "the hub's current commit"
        except Exception as error:  # noqa: BLE001 - as above; without a copy in its cache the download fails as well
            found = f"the latest commit in the hub's cache here, as the hub could not be asked ({_reason(error)}),"
    # Not by the commit: of a name the library notes which commit it is, and finds it again without the hub.
    snapshot = Path(
        huggingface_hub.snapshot_download(ref.repo, repo_type=ref.kind, revision=ref.revision, allow_patterns=patterns)
    )
    of = f" of {ref.revision}" if ref.revision else ""
    return snapshot, f"{ref.repo}: {found}{of} is {snapshot.name}." if found else None
