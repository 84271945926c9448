"""Running finished cells again, and saying what of them came out the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from bench import profiles
from bench.errors import BenchError, SourceError, UsageError
from bench.executors import Executor, Finished, Job, Lost
from bench.grid.cell import NUMERIC_LIBRARIES, code_version
from bench.lockfile import part_of
from bench.measure import environment
from bench.plugins import registry
from bench.profiles.probe import probe
from bench.records.record import Record
from bench.runner.plan import Fetching, fetch
from bench.sources.digest import tree_digest
from bench.train.assignment import Assignment


@dataclass(frozen=True)
class Verdict:
    """What became of one cell that was to be run again.

    same: whether it came out the same bit for bit; None: it was not run, and `refusal` says why. differences: what
    differs. surroundings: what else differs, where something does: why it may.
    """

    record: Record
    same: bool | None
    differences: list[str] = field(default_factory=list)
    surroundings: list[str] = field(default_factory=list)
    refusal: str | None = None

    @property
    def reasons(self) -> list[str]:
        return [self.refusal] if self.refusal else [*self.differences, *self.surroundings]

    def to_json(self) -> dict[str, Any]:
        return {
            "cell": self.record.id,
            "same": self.same,
            "differences": self.differences,
            "surroundings": self.surroundings,
            **({"refusal": self.refusal} if self.refusal else {}),
        }


def differences(old: Record, new: Record) -> list[str]:
    """In what two records of one cell differ of that which must be the same bit for bit."""
    if new.status != "ok":
        return [f"it ended as {new.status}: {new.reason}"]
    found = []
    if old.data is not None and new.data is not None and old.data.digest != new.data.digest:
        found.append(f"the data read was {old.data.digest} and is {new.data.digest}")
    if old.losses != new.losses:
        at = next((i for i, (a, b) in enumerate(zip(old.losses, new.losses, strict=False)) if a != b), None)
        found.append("the number of steps differs" if at is None else f"the loss differs from step {at + 1} on")
    found += _answers_differ(old, new, "")
    for name in sorted(old.extra_tests.keys() | new.extra_tests.keys()):
        found += _answers_differ(old.on(name), new.on(name), f" on {name}")
    return found


def _answers_differ(old: Record, new: Record, where: str) -> list[str]:
    found = []
    if old.predictions != new.predictions:
        count = sum(a != b for a, b in zip_longest(old.predictions, new.predictions))
        found.append(f"{count} of {len(old.predictions)} predictions{where} differ")
    if old.scores != new.scores:
        found.append(f"the score{where} was {old.score} and is {new.score}")
    return found


def excuses(old: Record, new: Record) -> list[str]:
    """What differs in the surroundings of two records of one cell: reasons why they may not agree.

    What only one of them tells is no difference: an older record tells less. A setting that is not there is not set.
    """
    found = []
    for what in ("machine", "compute", "versions", "python", "platform", "container", "settings", "code"):
        before, after = old.environment.get(what), new.environment.get(what)
        if isinstance(before, dict) and isinstance(after, dict):
            keys = before.keys() | after.keys() if what == "settings" else before.keys() & after.keys()
            differing = sorted(key for key in keys if before.get(key) != after.get(key))
            found += [f"{what}.{key} was {before.get(key)!r} and is {after.get(key)!r}" for key in differing]
        elif before != after and what in old.environment and what in new.environment:
            found.append(f"{what} was {before!r} and is {after!r}")
    return found


def drawn(records: Sequence[Record], count: int, seed: int) -> list[Record]:
    """So many records by chance, the same for a seed on every machine; more are the same and others."""

    def key(record: Record) -> str:
        return hashlib.sha256(f"{seed}:{record.id}".encode()).hexdigest()

    return sorted(records, key=key)[:count]


def repeated(
    records: Sequence[Record],
    executor: Executor,
    mirror: Path | None = None,
    plugins: Sequence[Path] = (),
    copies: Sequence[Path] = (),
    told: Fetching | None = None,
) -> Iterator[Verdict]:
    """Run recorded cells again from their own sources, storing nothing; a verdict each, as it is known.

    Args:
        copies: files and folders that stand in for recorded sources wherever the content is the same.
    """
    held = {tree_digest(path): path for path in copies}
    assignments: dict[str, Assignment] = {}
    by_id = {record.id: record for record in records}
    for record in records:
        try:
            assignments[record.id] = _assignment(record, mirror, plugins, held, told)
        except BenchError as error:
            yield Verdict(record, None, refusal=str(error))
    jobs = [Job(key, assignment) for key, assignment in assignments.items()]
    with closing(executor.run(jobs)) as events:
        for event in events:
            if isinstance(event, Finished):
                record, again = by_id[event.key], Record(**event.result)
                found = differences(record, again)
                yield Verdict(record, not found, found, excuses(record, again) if found else [])
            elif isinstance(event, Lost):
                yield Verdict(by_id[event.key], False, [f"it did not finish this time: {event.reason}"])


def _assignment(
    record: Record, mirror: Path | None, plugins: Sequence[Path], held: dict[str, Path], told: Fetching | None
) -> Assignment:
    """What a worker needs to run a recorded cell again.

    Raises:
        BenchError: if the code or the sources are not those of the record, so that it would be another cell, or
            if they or the profile are not to be had here.
    """
    cell = record.cell
    if record.status != "ok":
        raise UsageError(f"Cell {record.id} ended as {record.status}; only a finished cell can be verified.")
    files = [registry.methods(plugins).get(cell.method).file, registry.tasks(plugins).get(cell.task).file]
    code = code_version(files)
    if code != cell.code:
        raise UsageError(f"The cell was run by code version {cell.code}, this is {code}: {_other_code(record)}")
    places = {
        what: _place(what, source, revision, mirror, held, told)
        for what, source, revision in (
            ("task", cell.task_source, cell.task_revision),
            ("model", cell.model_source, cell.model_revision),
        )
    }
    profiles.require(cell.profile, probe())
    return Assignment(
        cell=cell, data=places["task"], model=places["model"], plugins=tuple(plugins), workers=1, results=None
    )


def _place(
    what: str, source: str, revision: str, mirror: Path | None, held: dict[str, Path], told: Fetching | None
) -> Path:
    """Where the content of a recorded source lies here."""
    if revision in held:
        return held[revision].expanduser().resolve()
    copy = f"Give a copy of it with --copy PATH: whatever has the content {revision} will do."
    try:
        found = fetch({what: source}, mirror, told)[what]
    except SourceError as error:
        if source.startswith(("package:", "hub:")):
            raise
        raise SourceError(f"{error} {copy}") from None
    if found.revision != revision:
        raise UsageError(f"The {what} {source} was {revision} and is {found.revision} here. {copy}")
    return found.path


def _other_code(record: Record) -> str:
    """Why the code version of a record is not this one, as far as can be told, and what to do."""
    then, now = record.environment, environment.snapshot()
    versions, code = part_of(then, "versions"), part_of(then, "code")
    found = [
        f"{name} was {versions[name]} and is {now['versions'].get(name)}"
        for name in NUMERIC_LIBRARIES
        if name in versions and versions[name] != now["versions"].get(name)
    ]
    if then.get("python") not in (None, now["python"]):
        found.append(f"Python was {then['python']} and is {now['python']}")
    commit, dirty = code.get("commit"), code.get("dirty")
    if commit != now["code"]["commit"]:
        found.append(f"the commit was {commit} and is {now['code']['commit']}")
    if now["code"]["dirty"]:
        found.append("this checkout has changes that no commit holds")
    if dirty:
        found.append("so had the one that it was run from, and they cannot be had from its commit")
    if not found:
        found.append("a file that was given with --plugin is another one")
    return (
        f"{'; '.join(found)}. Check out commit {commit} and install the libraries of the record "
        "(`python -m bench freeze --constraints FILE` writes them)."
    )
