"""A results folder made public: records, tables, page, and a list of hashes that anyone can check.

`sha256sum --check SHA256SUMS` in a published folder says whether it is whole and unchanged.
"""

from __future__ import annotations

import glob
import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, StoreError, UsageError
from bench.files import remove_stale, temporary_path, write_atomically
from bench.leaderboard import current, files

if TYPE_CHECKING:
    from bench.grid.pscp import Pscp
    from bench.records.record import Record

SUMS = "SHA256SUMS"
HUB = "hub:"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

CARD = """---
configs:
- config_name: leaderboard
  data_files: leaderboard.csv
  default: true
- config_name: cells
  data_files: cells.csv
- config_name: pairs
  data_files: pairs.csv
---

Results of a benchmark of parameter-efficient tuning methods, made with pasta-bench {version}.

- `report.html`: all of it as a page; it opens in any browser, without a network.
- `leaderboard.csv` (a row a method and task), `cells.csv` (a row a training), `pairs.csv` (every two methods compared),
  `overall.csv` (ranks over tasks); `datapackage.json` tells what each column means.
- `records/`: everything that was recorded of each training, one JSON file each.
- `SHA256SUMS`: `sha256sum --check SHA256SUMS` says whether what you have is what was published.
"""


class PublishError(BenchError):
    """Something could not be published; nothing half-published is taken for whole, since the hashes come last."""


def contents(records: Sequence[Record], pscp: Pscp | None = None) -> dict[str, str]:
    """Every file of a publication by its path in the folder, the hashes last. The same bytes for the same records.

    Cells of older code than the newest of their row stand in no table, and are not published.

    Raises:
        UsageError: if there are no records.
    """
    from bench import __version__, report

    records = sorted(current(records), key=lambda record: record.id)
    if not records:
        raise UsageError("There is no record to publish.")
    made = {
        "README.md": CARD.format(version=__version__),
        **files.tables(records, pscp),
        "report.html": report.render(records, pscp),
        **{f"records/{record.id}.json": record.to_json() for record in records},
    }
    sums = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n" for path, text in sorted(made.items()))
    return {**made, SUMS: sums}


def named_folders(records: Sequence[Record]) -> list[str]:
    """Folders of somebody's machine that the records' cells name as where a model or data came from."""
    sources = {source for record in records for source in (record.cell.model_source, record.cell.task_source)}
    return sorted(source for source in sources if Path(source).is_absolute() or source.startswith("~"))


def repository(target: str) -> str | None:
    """OWNER/NAME of a hub target; None for a folder.

    Raises:
        UsageError: for a hub target of another form.
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
        UsageError: if the folder holds files and no publication: they are somebody's.
    """
    if not _is_published(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} holds something that was not published by this program; name another folder.")
        return []
    return sorted(path for path in _listed(folder).keys() - made.keys() if _is_inside(folder, path))


def changed(folder: Path) -> list[str]:
    """Files of a published folder that its hashes do not know so, records that they do not list included.

    Empty for a folder without hashes: it was not published.
    """
    if not _is_published(folder):
        return []
    listed = _listed(folder)
    found = {
        path for path, digest in listed.items() if not _is_inside(folder, path) or _sha256(folder / path) != digest
    }
    there = {path.relative_to(folder).as_posix() for path in folder.glob("records/*.json")}
    return sorted(found | (there - listed.keys()))


def to_folder(folder: Path, made: dict[str, str]) -> None:
    """Write a publication, replacing an earlier one; the hashes last, so that what was cut short is seen to be.

    A new folder gets its name once everything is in it: one that was cut short has none, and is in nobody's way.

    Raises:
        UsageError: see `stale`. StoreError: if the folder cannot be written.
    """
    gone = stale(folder, made)
    if _is_published(folder):
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


def _write(folder: Path, made: dict[str, str]) -> None:
    for path, text in made.items():
        write_atomically(folder / path, text)


def to_hub(name: str, made: dict[str, str]) -> str:
    """Upload a publication as one commit to a data set repository, made if it is not there; its address.

    Records of an earlier publication that this one does not have are deleted in the same commit. Needs the
    token that `hf auth login` keeps, or HF_TOKEN.

    Raises:
        PublishError: if the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with tempfile.TemporaryDirectory() as temporary:
        to_folder(Path(temporary) / "publication", made)
        try:
            api.create_repo(name, repo_type="dataset", exist_ok=True)
            commit = api.upload_folder(
                repo_id=name,
                folder_path=Path(temporary) / "publication",
                repo_type="dataset",
                commit_message="Publish benchmark results",
                delete_patterns="records/*.json",
            )
        except Exception as error:  # noqa: BLE001 - the hub library's errors are of many classes with no common one
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise PublishError(
                f"{name} could not be published: {reason} Log in with `hf auth login` or set HF_TOKEN to a token that "
                "may write there, and see that the hub can be reached."
            ) from None
    return str(commit.commit_url)


def _is_published(folder: Path) -> bool:
    return (folder / SUMS).is_file()


def _listed(folder: Path) -> dict[str, str]:
    """The digest of each file that a publication's hashes list, by its path."""
    rows = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, _, path in (row.partition("  ") for row in rows)}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _is_inside(folder: Path, path: str) -> bool:
    """Whether a path that a list names is a plain file below the folder, so that deleting it deletes nothing else."""
    return (folder / path).resolve().is_relative_to(folder.resolve()) and (folder / path).is_file()
