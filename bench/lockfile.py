"""What a results folder was made with, as one readable file; and whether a run would be made with the same.

The file holds what cells depend on and their records tell: Python, libraries, sources, profiles, and the version of the
code for each method and task. A run that is held to it may have other seeds, parameters and budgets; nothing else.
"""

from __future__ import annotations

import platform
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench import __version__
from bench.errors import UsageError
from bench.grid.cell import Cell
from bench.leaderboard.rows import current
from bench.measure import environment
from bench.profiles import Profile
from bench.records.machines import machine_kind
from bench.records.record import Record

MOST_SHOWN = 8  # differences in one message
ITSELF = "pasta-bench"  # told apart from what it requires, as `bench`: it may be used without being installed

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


class Source(_Part):
    """A pinned reference, and what it resolved to."""

    source: str
    revision: str


class Frozen(_Part):
    """The content of the file.

    commits: those that cells were run at; where there are several, their code is the same as far as it makes numbers.
    dirty: whether some cell was run with changes that no commit holds. platforms, machines, settings: for people, never
    checked; settings are those that all cells share. code: by task, then by method.
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
    models: dict[str, Source]
    tasks: dict[str, Source]
    profiles: dict[str, Profile]
    code: dict[str, dict[str, str]]

    def to_toml(self, cells: int) -> str:
        import tomli_w

        return HEADER.format(cells=cells) + tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def constraints(self, cells: int) -> str:
        """What pip takes as a file of constraints."""
        commit = ", ".join(self.commits) or "unknown"
        lines = [f"{name}=={version}\n" for name, version in self.versions.items()]
        note = LOCAL if any("+" in version for version in self.versions.values()) else ""
        return CONSTRAINTS.format(cells=cells, python=self.python, commit=commit) + note + "".join(lines)


def finished(records: Iterable[Record]) -> list[Record]:
    """The records that a file stands for: finished, and of the newest code of their row, as tables have them."""
    return [record for record in current(records) if record.status == "ok"]


def freeze(records: Sequence[Record]) -> Frozen:
    """What these finished records were made with.

    Raises:
        UsageError: if there are none, or if they were not all made with the same.
    """
    if not records:
        raise UsageError("There is no finished cell whose surroundings could be written down.")
    told = _Told()
    profiles: dict[str, Profile] = {}
    for record in records:
        cell, surroundings = record.cell, record.environment
        told.add("bench", record.bench_version)
        told.add("Python", surroundings.get("python"))
        for name, version in part_of(surroundings, "versions").items():
            if name != ITSELF:
                told.add(f"library {name}", version)
        told.add(f"source of model {cell.model}", cell.model_source)
        told.add(f"revision of model {cell.model}", cell.model_revision)
        told.add(f"source of task {cell.task}", cell.task_source)
        told.add(f"revision of task {cell.task}", cell.task_revision)
        told.add(f"profile {cell.profile.name}", _settings(cell.profile))
        told.add(f"code of {cell.method} on {cell.task}", cell.code)
        profiles.setdefault(cell.profile.name, cell.profile)
    told.require_one_each(len(records))
    codes = [part_of(record.environment, "code") for record in records]
    return Frozen(
        bench=records[0].bench_version,
        commits=sorted({str(code["commit"]) for code in codes if code.get("commit")}),
        dirty=any(bool(code.get("dirty")) for code in codes),
        python=str(told.one("Python") or "unknown"),
        platforms=sorted({str(record.environment.get("platform") or "unknown") for record in records}),
        machines=sorted({str(machine_kind(record) or "unknown") for record in records}),
        settings=_shared([part_of(record.environment, "settings") for record in records]),
        versions=told.ones("library "),
        models={r.cell.model: Source(source=r.cell.model_source, revision=r.cell.model_revision) for r in records},
        tasks={r.cell.task: Source(source=r.cell.task_source, revision=r.cell.task_revision) for r in records},
        profiles=dict(sorted(profiles.items())),
        code={
            task: {r.cell.method: r.cell.code for r in records if r.cell.task == task}
            for task in sorted({r.cell.task for r in records})
        },
    )


def load(path: Path) -> Frozen:
    """Read what `freeze` wrote.

    Raises:
        UsageError: naming the file and what is wrong with it.
    """
    again = "write one with `python -m bench freeze`"
    try:
        return Frozen(**tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error}); {again}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML ({error}); {again}.") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise UsageError(f"{path} is no file of frozen surroundings: {where}: {fault['msg']}; {again}.") from None


def require_environment(path: Path, frozen: Frozen) -> None:
    """Raise a UsageError where this program, this Python or a library is not the file's."""
    from packaging.utils import canonicalize_name

    python, versions = platform.python_version(), environment.versions(frozen.versions)
    found = [] if frozen.bench == __version__ else [f"bench is {frozen.bench} there and {__version__} here"]
    if frozen.python != python:
        found.append(f"Python is {frozen.python} there and {python} here")
    for name, version in frozen.versions.items():
        installed = versions.get(canonicalize_name(name))
        if installed != version:
            found.append(f"{name} is {version} there and {installed or 'not installed'} here")
    _refuse(path, found, "Install what `freeze --constraints FILE` writes, with that Python.")


def require_cells(path: Path, frozen: Frozen, cells: Iterable[Cell]) -> None:
    """Raise a UsageError where a cell's task, model, profile, source or code is not the file's."""
    found: dict[str, None] = {}  # in order, once each

    def hold(fault: str, right: bool) -> bool:
        if not right:
            found[fault] = None
        return right

    for cell in cells:
        sources = (
            ("task", cell.task, frozen.tasks, cell.task_source, cell.task_revision),
            ("model", cell.model, frozen.models, cell.model_source, cell.model_revision),
        )
        for what, name, known, source, revision in sources:
            if hold(f"the {what} {name} is not in it ({_listed(known)})", name in known):
                there = known[name]
                # Where a folder lies is nobody's business; what is in it is.
                same = source == there.source or (_is_path(source) and _is_path(there.source))
                hold(f"the {what} {name} comes from {there.source} there and from {source} here", same)
                if same:
                    hold(f"the {what} {name} is {there.revision} there and {revision} here", revision == there.revision)
        profile = cell.profile
        if hold(
            f"the profile {profile.name} is not in it ({_listed(frozen.profiles)})", profile.name in frozen.profiles
        ):
            same = _settings(frozen.profiles[profile.name]) == _settings(profile)
            hold(f"the profile {profile.name} has other settings there", same)
        methods = frozen.code.get(cell.task)
        if methods is not None and hold(
            f"the method {cell.method} on {cell.task} is not in it ({_listed(methods)})", cell.method in methods
        ):
            code = methods[cell.method]
            hold(f"the code of {cell.method} on {cell.task} is {code} there and {cell.code} here", code == cell.code)
    commit = f"Check out commit {' or '.join(frozen.commits)}" if frozen.commits else "Use the code of the file"
    _refuse(path, list(found), f"{commit}, and name nothing but what is in the file.")


def _refuse(path: Path, found: Sequence[str], advice: str) -> None:
    if found:
        more = [f"and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
        clauses = "; ".join([*found[:MOST_SHOWN], *more])
        raise UsageError(f"{path} does not allow this run: {clauses}. {advice}")


class _Told:
    """What records say of one subject each, with how many say so. None says nothing."""

    def __init__(self) -> None:
        self._said: dict[str, Counter[str]] = {}

    def add(self, subject: str, value: Any) -> None:
        if value is not None:
            self._said.setdefault(subject, Counter())[str(value)] += 1

    def one(self, subject: str) -> str | None:
        return next(iter(self._said.get(subject, ())), None)

    def ones(self, beginning: str) -> dict[str, str]:
        """The values of the subjects that begin so, by the rest of the subject, sorted."""
        found = {subject.removeprefix(beginning) for subject in self._said if subject.startswith(beginning)}
        return {name: str(self.one(beginning + name)) for name in sorted(found)}

    def require_one_each(self, cells: int) -> None:
        differing = [
            f"{subject} is {' and '.join(f'{value} in {count}' for value, count in sorted(said.items()))}"
            for subject, said in self._said.items()
            if len(said) > 1
        ]
        if differing:
            more = [f"and {len(differing) - MOST_SHOWN} more"] if len(differing) > MOST_SHOWN else []
            raise UsageError(
                f"These {cells} finished cells were not all made with the same, and one file cannot stand for both: "
                f"{'; '.join([*differing[:MOST_SHOWN], *more])}. Freeze them in folders apart, or run the cells of one "
                "kind again."
            )


def _shared(each: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The entries that all of these have, with one value."""
    return {name: str(value) for name, value in each[0].items() if all(name in e and e[name] == value for e in each)}


def _is_path(source: str) -> bool:
    return not source.startswith(("package:", "hub:"))


def _settings(profile: Profile) -> str:
    """All of a profile but its text for people."""
    return profile.model_dump_json(exclude={"summary"})


def part_of(surroundings: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of a record's environment, which may hold anything; empty where the record does not tell."""
    found = surroundings.get(name)
    return found if isinstance(found, dict) else {}


def _listed(names: Iterable[str]) -> str:
    return "there: " + (", ".join(sorted(names)) or "none")
