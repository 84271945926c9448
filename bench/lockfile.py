"""Lock files: what results were made with, and whether a run would be made with the same.

A lock file holds what cells depend on and their records tell: Python, libraries, sources, profiles, and the version of
the code for each method and task. A run that is held to it is free in seeds, parameters and budgets only.
"""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import tomli_w
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import UsageError, first_error
from bench.grid.cell import Cell
from bench.leaderboard.rows import current
from bench.measure import environment
from bench.profiles import Profile
from bench.records.machines import machine_kind
from bench.records.record import Record
from bench.version import __version__

SHOWN = 8  # differences in one message
ITSELF = "pasta-bench"  # its version is the entry `bench`: it may be used without being installed

HEADER = """\
# What {cells} finished cells were made with, written by `python -m bench freeze`.
# `python -m bench run --frozen FILE` refuses to run with anything else; seeds, parameters and budgets are free.
"""
CONSTRAINTS = """\
# Libraries of {cells} finished cells, written by `python -m bench freeze`; Python was {python}.
# Use: pip install -c THIS_FILE -e . , in a checkout of commit {commit}.
"""
LOCAL = (
    "# A version with a + is a build from its project's own package index: give that to pip with --extra-index-url.\n"
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PinnedSource(_Part):
    """A pinned reference, and what it resolved to."""

    source: str
    revision: str


class Lockfile(_Part):
    """The content of the file.

    commits: those that cells were run at; where there are several, their code is the same as far as it makes numbers.
    dirty: whether some cell was run with uncommitted changes. platforms, machines, settings: for people, never checked;
    settings are those that all cells share. code: by task, then by method.
    """

    format: Literal[1] = 1
    bench: str
    commits: list[str]
    dirty: bool
    python: str
    platforms: list[str]
    machines: list[str]
    settings: dict[str, str]
    versions: dict[str, str]
    models: dict[str, PinnedSource]
    tasks: dict[str, PinnedSource]
    profiles: dict[str, Profile]
    code: dict[str, dict[str, str]]

    def to_toml(self, cells: int) -> str:
        return HEADER.format(cells=cells) + tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def constraints(self, cells: int) -> str:
        """A constraints file for pip."""
        commit = ", ".join(self.commits) or "unknown"
        lines = [f"{name}=={version}\n" for name, version in self.versions.items()]
        note = LOCAL if any("+" in version for version in self.versions.values()) else ""
        return CONSTRAINTS.format(cells=cells, python=self.python, commit=commit) + note + "".join(lines)


def finished(records: Iterable[Record]) -> list[Record]:
    """The records that a lock file stands for: finished, and of the newest code of their row, as tables have them."""
    return [record for record in current(records) if record.status == "ok"]


def freeze(records: Sequence[Record]) -> Lockfile:
    """What these finished records were made with; a UsageError if not all were made with the same."""
    if not records:
        raise UsageError("There is no finished cell to freeze.")
    known: dict[str, Any] = {}
    contradictions: dict[str, str] = {}
    for record in records:
        facts = {**_environment_facts(record), **_cell_facts(record.cell)}
        for each in environment.diff(known, facts):
            contradictions.setdefault(each.name, each.text("in some cells", f"in {record.id}"))
        _merge(known, facts)
    if contradictions:
        raise UsageError(
            f"These {len(records)} finished cells were not all made with the same: {_joined(contradictions.values())}. "
            "Freeze them in separate folders, or run the cells of one kind again."
        )
    codes = [environment.part(record.environment, "code") for record in records]
    settings = [environment.part(record.environment, "settings") for record in records]
    return Lockfile(
        bench=known["bench"],
        commits=sorted({str(code["commit"]) for code in codes if code.get("commit")}),
        dirty=any(bool(code.get("dirty")) for code in codes),
        python=known.get("python", "unknown"),
        platforms=sorted({str(record.environment.get("platform") or "unknown") for record in records}),
        machines=sorted({str(machine_kind(record) or "unknown") for record in records}),
        settings={k: str(v) for k, v in settings[0].items() if all(k in each and each[k] == v for each in settings)},
        versions=dict(sorted(known["versions"].items())),
        models=known["models"],
        tasks=known["tasks"],
        profiles={record.cell.profile.name: record.cell.profile for record in records},
        code=dict(sorted(known["code"].items())),
    )


def load(path: Path) -> Lockfile:
    """Read what `freeze` wrote; a UsageError says what is wrong with the file."""
    advice = "write one with `python -m bench freeze`"
    try:
        return Lockfile(**tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error}); {advice}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML ({error}); {advice}.") from None
    except ValidationError as error:
        raise UsageError(f"{path} is not a lock file: {': '.join(first_error(error))}; {advice}.") from None


def require_environment(path: Path, lock: Lockfile) -> None:
    """Raise a UsageError where this program, this Python or a library is not the file's."""
    versions = {canonicalize_name(name): version for name, version in lock.versions.items()}
    there = {"bench": lock.bench, "python": lock.python, "versions": versions}
    here = {"bench": __version__, "python": platform.python_version(), "versions": environment.versions(versions)}
    _refuse(
        path,
        [each.text("in the file", "here") for each in environment.diff(there, here)],
        "Install what `freeze --constraints FILE` writes, with that Python.",
    )


def require_cells(path: Path, lock: Lockfile, cells: Iterable[Cell]) -> None:
    """Raise a UsageError where a cell's task, model, profile, source or code is not the file's."""
    there, here = lock.model_dump(mode="json", include={"models", "tasks", "profiles", "code"}), dict[str, Any]()
    for cell in cells:
        _merge(here, _cell_facts(cell))
    for facts in (there, here):
        for each in (*facts["models"].values(), *facts["tasks"].values()):
            if not each["source"].startswith(("package:", "hub:")):
                each["source"] = "a local path"  # where it is does not matter; its revision is a hash of the content
    found = []
    for what in ("model", "task", "profile"):
        found += _missing(what, there[f"{what}s"], here[f"{what}s"])
    for task, methods in here["code"].items():
        found += _missing("method", there["code"].get(task, methods), methods, f" on {task}")
    found += [each.text("in the file", "here") for each in environment.diff(there, here)]
    commit = f"Check out commit {' or '.join(lock.commits)}" if lock.commits else "Use the code of the file"
    _refuse(path, found, f"{commit}, and use only what is in the file.")


def _missing(what: str, there: Iterable[str], here: Iterable[str], where: str = "") -> list[str]:
    listed = ", ".join(sorted(there)) or "none"
    return [f"the {what} {name}{where} is not in it (there: {listed})" for name in here if name not in there]


def _refuse(path: Path, reasons: Sequence[str], advice: str) -> None:
    if reasons:
        raise UsageError(f"{path} does not allow this run: {_joined(reasons)}. {advice}")


def _joined(reasons: Iterable[str]) -> str:
    reasons = list(reasons)
    more = [f"and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else []
    return "; ".join([*reasons[:SHOWN], *more])


def _environment_facts(record: Record) -> dict[str, Any]:
    """What a record tells of the environment, as far as a run is held to it."""
    python = record.environment.get("python")
    versions = environment.part(record.environment, "versions")
    return {
        "bench": record.bench_version,
        **({"python": str(python)} if python is not None else {}),
        "versions": {name: str(each) for name, each in versions.items() if each is not None and name != ITSELF},
    }


def _cell_facts(cell: Cell) -> dict[str, Any]:
    return {
        "models": {cell.model: {"source": cell.model_source, "revision": cell.model_revision}},
        "tasks": {cell.task: {"source": cell.task_source, "revision": cell.task_revision}},
        "profiles": {cell.profile.name: cell.profile.model_dump(mode="json", exclude={"summary"})},
        "code": {cell.task: {cell.method: cell.code}},
    }


def _merge(known: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add to nested dictionaries what they do not have yet."""
    for name, value in more.items():
        if isinstance(value, dict):
            _merge(known.setdefault(name, {}), value)
        else:
            known.setdefault(name, value)
