"""Finished cells run again and compared with their records bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

from bench import profiles
from bench.errors import BenchError, SourceError, UsageError
from bench.executors import Executor, Finished, Job, Lost
from bench.grid.cell import NUMERIC_LIBRARIES, Cell, code_version
from bench.measure import environment
from bench.plugins import registry
from bench.profiles.probe import probe
from bench.records.record import Record
from bench.runner.plan import Fetching, fetch
from bench.sources.digest import tree_digest
from bench.sources.references import REMOTE, pinned
from bench.train.assignment import Assignment

# What a code version depends on that a record's environment tells.
CODE_ENTRIES = {"python", "code.commit", *(f"versions.{name}" for name in NUMERIC_LIBRARIES)}


@dataclass(frozen=True)
class Verification:
    """The result of one cell.

    same: whether it is the same bit for bit; None: it was not run, and `refusal` says why. differences: what differs in
    it. surroundings: what differs in its environment, where something differs in it.
    """

    record: Record
    same: bool | None
    differences: list[str] = field(default_factory=list)
    surroundings: list[str] = field(default_factory=list)
    refusal: str | None = None

    def to_json(self) -> dict[str, Any]:
        shown = {"same": self.same, "differences": self.differences, "surroundings": self.surroundings}
        refusal = {"refusal": self.refusal} if self.refusal else {}
        return {"cell": self.record.id, **shown, **refusal}


@dataclass(frozen=True)
class Inputs:
    """Where the plugins and sources of recorded cells are found.

    copies: files and folders to use in place of every recorded source with the same content.
    """

    plugins: Sequence[Path] = ()
    mirror: Path | None = None
    copies: Sequence[Path] = ()
    on_progress: Fetching | None = None

    @cached_property
    def by_content(self) -> dict[str, Path]:
        return {tree_digest(path): path.expanduser().resolve() for path in self.copies}

    def path(self, what: str, source: str, revision: str) -> Path:
        """Where the content of a recorded source is on this machine; a BenchError if it is not, or has changed."""
        if revision in self.by_content:
            return self.by_content[revision]
        advice = f"Give a copy of it with --copy PATH: any file or folder with the content {revision}."
        try:
            found = fetch({what: pinned(source, revision)}, self.mirror, self.on_progress)[what]
        except SourceError as error:
            if source.startswith(("package:", "hub:")):
                raise
            raise SourceError(f"{error} {advice}") from None
        if found.revision != revision:
            raise UsageError(f"The {what} {source} was {revision} and is {found.revision} here. {advice}")
        return found.path

    def data(self, cell: Cell) -> Path:
        """Where the data of a recorded cell are."""
        # Of a file a record has the name alone: the plugin knows where it is.
        is_remote = cell.task_source.startswith(REMOTE)
        source = cell.task_source if is_remote else registry.tasks(self.plugins).get(cell.task).plugin.source
        return self.path("task", source, cell.task_revision)


def sample(records: Sequence[Record], count: int, seed: int) -> list[Record]:
    """Randomly chosen records; the same ones for a seed on every machine. A larger count adds to those of a smaller."""

    def key(record: Record) -> str:
        return hashlib.sha256(f"{seed}:{record.id}".encode()).hexdigest()

    return sorted(records, key=key)[:count]


def verify_cells(records: Sequence[Record], executor: Executor, inputs: Inputs) -> Iterator[Verification]:
    """Run recorded cells again from their own sources, without storing anything; a result each, as it is known."""
    jobs: list[Job] = []
    by_id = {record.id: record for record in records}
    for record in records:
        try:
            jobs.append(Job(record.id, _assignment(record, inputs)))
        except BenchError as error:
            yield Verification(record, None, refusal=str(error))
    with closing(executor.run(jobs)) as events:
        for event in events:
            if isinstance(event, Finished):
                old, new = by_id[event.key], event.result
                found, changed = differences(old, new), environment.diff(old.environment, new.environment)
                surroundings = [each.text("in the record", "now") for each in changed] if found else []
                yield Verification(old, not found, found, surroundings)
            elif isinstance(event, Lost):
                yield Verification(by_id[event.key], False, [f"it did not finish this time: {event.reason}"])


def differences(old: Record, new: Record) -> list[str]:
    """What differs between two records of one cell and must not."""
    if new.status != "ok":
        return [f"it ended as {new.status}: {new.reason}"]
    found = []
    if old.data is not None and new.data is not None and old.data.digest != new.data.digest:
        found.append(f"the data was {old.data.digest} and is {new.data.digest}")
    if old.losses != new.losses:
        at = next((i for i, (a, b) in enumerate(zip(old.losses, new.losses, strict=False)) if a != b), None)
        found.append("the number of steps differs" if at is None else f"the loss differs from step {at + 1} on")
    for name in (None, *sorted(old.extra_tests.keys() | new.extra_tests.keys())):
        before, after, where = (old, new, "") if name is None else (old.on(name), new.on(name), f" on {name}")
        if before.predictions != after.predictions:
            count = sum(a != b for a, b in zip_longest(before.predictions, after.predictions))
            found.append(f"{count} of {len(before.predictions)} predictions{where} differ")
        if before.scores != after.scores:
            found.append(f"the score{where} was {before.score} and is {after.score}")
    return found


def _assignment(record: Record, inputs: Inputs) -> Assignment:
    """What a worker needs to run a recorded cell again; a BenchError if that would be another cell, or cannot run."""
    cell, plugins = record.cell, inputs.plugins
    if record.status != "ok":
        raise UsageError(f"Cell {record.id} ended as {record.status}; only a finished cell can be verified.")
    code = code_version(registry.code_files(cell.method, cell.task, plugins))
    if code != cell.code:
        raise UsageError(f"The cell was run by code version {cell.code}, and this is {code}: {_why_other_code(record)}")
    data = inputs.data(cell)
    model = inputs.path("model", cell.model_source, cell.model_revision)
    profiles.require(cell.profile, probe())
    return Assignment(cell=cell, data=data, model=model, plugins=tuple(plugins), workers=1, results=None)


def _why_other_code(record: Record) -> str:
    """Why the code version of a record is not this one, as far as records tell, and what to do."""
    then, now = record.environment, environment.snapshot()
    found = [each.text("in the record", "here") for each in environment.diff(then, now) if each.name in CODE_ENTRIES]
    recorded = environment.part(then, "code")
    for where, code in (("the record's", recorded), ("this", now["code"])):
        if code.get("dirty"):
            found.append(f"{where} checkout has uncommitted changes")
    return (
        f"{'; '.join(found or ['a file given with --plugin differs'])}. Check out commit {recorded.get('commit')} and "
        "install the libraries of the record (`python -m bench freeze --constraints FILE` writes them)."
    )
