"""What has to hold whatever happened: nothing finished is lost, nothing is damaged, nothing counts twice."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import psutil

from bench.records.store import Store


def finished(results: Path) -> dict[str, bytes]:
    """The records of finished cells as they lie there, by id."""
    store = Store(results)
    return {record.id: store.path(record.id).read_bytes() for record in store.all()[0] if record.status == "ok"}


def lost(before: dict[str, bytes], results: Path) -> list[str]:
    """Cells that were finished and whose record is gone or another one now."""
    after = finished(results)
    return [key for key, content in before.items() if after.get(key) != content]


def damaged(results: Path) -> list[str]:
    """What is wrong with records that cannot be read."""
    return Store(results).all()[1]


def twice(results: Path) -> list[str]:
    """Cells and rows that stand in a table more than once."""
    found = []
    keys = {"cells.csv": ("cell", "task"), "leaderboard.csv": ("method", "method_params", "task", "profile", "preset")}
    for name, columns in keys.items():
        if (results / name).exists():
            with (results / name).open(newline="") as lines:
                counts = Counter(tuple(row[column] for column in columns) for row in csv.DictReader(lines))
            found += [f"{name}: {key}" for key, count in counts.items() if count > 1]
    return found


def assert_kept(before: dict[str, bytes], results: Path) -> None:
    assert lost(before, results) == []
    assert twice(results) == []


def temporary(results: Path) -> list[Path]:
    return list(results.rglob(".*.tmp"))


def runs(pid: int) -> bool:
    """Whether a process has not ended; an orphan's zombie waits for init and counts as ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
