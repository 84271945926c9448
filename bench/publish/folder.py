"""A published results folder: tables, page, records, and a list of hashes.

`sha256sum --check SHA256SUMS` in a published folder tells whether it is complete and unchanged.
"""

from __future__ import annotations

import glob
import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from bench import report
from bench.errors import BenchError, StoreError, UsageError
from bench.files import remove_stale, temporary_path, write_atomically
from bench.leaderboard.files import texts
from bench.leaderboard.rows import current
from bench.leaderboard.tables import Tables
from bench.records.record import Record
from bench.version import __version__

SUMS = "SHA256SUMS"
HUB = "hub:"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class PublishError(BenchError):
    """The hub refused a publication or cannot be reached."""


def contents(
    records: Sequence[Record], against: str | None = None, trials: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, str]:
    """Every file of a publication by its path in the folder, the hashes last. The same bytes for the same records.

    Cells of older code than the newest of their row are in no table, and are not published.

    Args:
        against: a method that the overall table gives differences from.
        trials: lines of a trials.csv of `tune`, which the page shows.

    Raises:
        UsageError: if there are no records, or none of that method, or `trials` are none.
    """
    records = sorted(current(records), key=lambda record: record.id)
    if not records:
        raise UsageError("There is no record to publish.")
    card = resources.files("bench.publish").joinpath("card.md").read_text(encoding="utf-8")
    made = {
        "README.md": card.format(version=__version__),
        **texts(Tables(records), against),
        "report.html": report.render(records, trials, against),
        **{f"records/{record.id}.json": record.to_json() for record in records},
    }
    sums = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n" for path, text in sorted(made.items()))
    return {**made, SUMS: sums}


def named_folders(records: Sequence[Record]) -> list[str]:
    """Local folders that the records name as the source of a model or data."""
    sources = {source for record in records for source in (record.cell.model_source, record.cell.task_source)}
    return sorted(source for source in sources if Path(source).is_absolute() or source.startswith("~"))


def repository(target: str) -> str | None:
    """OWNER/NAME of a hub target; None for a folder.

    Raises:
        UsageError: for a malformed hub target.
    """
    if not target.startswith(HUB):
        return None
    name = target.removeprefix(HUB)
    if not _REPOSITORY.fullmatch(name):
        raise UsageError(f"--to {target!r} is not of the form hub:OWNER/NAME.")
    return name


def stale(folder: Path, made: dict[str, str]) -> list[str]:
    """Files of an earlier publication in this folder that the new one does not have.

    Raises:
        UsageError: if the folder has files but is no publication.
    """
    listed = _listed(folder)
    if listed is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds something that was not published by this program; name another folder.")
    return sorted(path for path in (listed or {}).keys() - made.keys() if _is_file_inside(folder, path))


def changed(folder: Path) -> list[str]:
    """Files of a published folder that do not match its hashes, and records without one; none if it has no hashes."""
    listed = _listed(folder)
    if listed is None:
        return []
    differing = {
        path
        for path, digest in listed.items()
        if not _is_file_inside(folder, path) or hashlib.sha256((folder / path).read_bytes()).hexdigest() != digest
    }
    records = {path.relative_to(folder).as_posix() for path in folder.glob("records/*.json")}
    return sorted(differing | (records - listed.keys()))


def to_folder(folder: Path, made: dict[str, str]) -> None:
    """Write a publication, replacing an earlier one.

    A new folder gets its name when it is complete. In an existing one the hashes are written last, so that an
    interrupted publication does not match them.

    Raises:
        UsageError: see `stale`. StoreError: if the folder cannot be written.
    """
    gone = stale(folder, made)
    if (folder / SUMS).is_file():
        for path in gone:
            (folder / path).unlink(missing_ok=True)
        _write(folder, made)
        return
    folder = folder.resolve()
    temporary = temporary_path(folder)
    remove_stale(folder.parent, f".{glob.escape(folder.name)}.*.tmp")
    try:
        _write(temporary, made)
        temporary.replace(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def to_hub(name: str, made: dict[str, str]) -> str:
    """Upload a publication as one commit to a data set repository, created if necessary; returns the commit's address.

    The same commit deletes records of an earlier publication that are not in this one. Needs the token of
    `hf auth login`, or HF_TOKEN.

    Raises:
        PublishError: if the hub refuses or cannot be reached.
    """
    api = HfApi()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "publication"
        _write(folder, made)
        try:
            api.create_repo(name, repo_type="dataset", exist_ok=True)
            commit = api.upload_folder(
                repo_id=name,
                folder_path=folder,
                repo_type="dataset",
                commit_message="Publish benchmark results",
                delete_patterns="records/*.json",
            )
        except Exception as error:  # noqa: BLE001 - errors of the hub library have no common base class
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise PublishError(
                f"{name} could not be published: {reason} Log in with `hf auth login` or set HF_TOKEN to a token with "
                "write access, and check the connection to the hub."
            ) from None
    return str(commit.commit_url)


def _write(folder: Path, made: dict[str, str]) -> None:
    for path, text in made.items():
        write_atomically(folder / path, text)


def _listed(folder: Path) -> dict[str, str] | None:
    """The digest of each file in a publication's list of hashes, by path; None if the folder has no list."""
    if not (folder / SUMS).is_file():
        return None
    rows = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, _, path in (row.partition("  ") for row in rows)}


def _is_file_inside(folder: Path, path: str) -> bool:
    """Whether a path of the list is a plain file in the folder: the list may be hostile."""
    return (folder / path).resolve().is_relative_to(folder.resolve()) and (folder / path).is_file()
