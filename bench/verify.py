"""Running a finished cell again, and saying what of it came out the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

from bench import profiles, registry
from bench.cell import Assignment
from bench.errors import BenchError, UsageError
from bench.executors import Executor, Finished, Job, Lost
from bench.grid import code_version
from bench.profiles.probe import probe
from bench.record import Record
from bench.running import Fetching, fetch


def differences(old: Record, new: Record) -> list[str]:
    """In what two records of one cell differ of that which must be the same bit for bit."""
    if new.status != "ok":
        return [f"it ended as {new.status}: {new.reason}"]
    found = []
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
    """What differs in the surroundings of two records of one cell: reasons why they may not agree."""
    found = []
    for what in ("machine", "versions", "python", "settings"):
        before, after = old.environment.get(what), new.environment.get(what)
        if isinstance(before, dict) and isinstance(after, dict):
            keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
            found += [f"{what}.{key} was {before.get(key)!r} and is {after.get(key)!r}" for key in keys]
        elif before != after:
            found.append(f"{what} was {before!r} and is {after!r}")
    return found


def repeat(
    record: Record,
    executor: Executor,
    mirror: Path | None = None,
    plugins: Sequence[Path] = (),
    told: Fetching | None = None,
) -> Record:
    """Run a recorded cell again from its own sources, storing nothing.

    Raises:
        UsageError: if the code or the sources are not those of the record, so that it would be another cell.
    """
    cell = record.cell
    files = [registry.methods(plugins).get(cell.method).file, registry.tasks(plugins).get(cell.task).file]
    code = code_version(files)
    if code != cell.code:
        then = record.environment.get("code")
        commit = then.get("commit") if isinstance(then, dict) else None
        raise UsageError(
            f"The cell was run by code version {cell.code}, this is {code}: check out commit {commit} with the "
            "libraries of the record."
        )
    wanted = {
        "task": (cell.task_source, cell.task_revision),
        "model": (cell.model_source, cell.model_revision),
    }
    resolved = fetch({what: source for what, (source, _) in wanted.items()}, mirror, told)
    for what, (source, revision) in wanted.items():
        if resolved[what].revision != revision:
            raise UsageError(f"The {what} {source} was {revision} and is {resolved[what].revision} here.")
    profiles.require(cell.profile, probe())
    assignment = Assignment(
        cell=cell,
        data=resolved["task"].path,
        model=resolved["model"].path,
        plugins=tuple(plugins),
        workers=1,
        results=None,
    )
    with closing(executor.run([Job(record.id, assignment)])) as events:
        for event in events:
            if isinstance(event, Finished):
                return Record(**event.result)
            if isinstance(event, Lost):
                raise BenchError(f"The cell did not finish this time: {event.reason}.")
    raise AssertionError("an executor ends every job")
