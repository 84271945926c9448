"""Where the time of a run went: the timelines of its records by part, and the workers' time outside of cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from bench.forecast.seconds import duration
from bench.records.record import Record

PARTS = {  # of a cell's phases; what is not here is part of the rest
    "train": "training",
    "batching": "training",
    "validate": "evaluation",
    "test": "evaluation",
    "extra tests": "evaluation",
    "set up": "loading",
    "read data": "loading",
    "load model": "loading",
    "machine speed": "measuring",
    "free memory": "measuring",
    "count FLOPs": "measuring",
    "score": "measuring",
    "save": "saving",
}
ORDER = (*dict.fromkeys(PARTS.values()), "rest of cells", "failed cells", "outside cells")


def parts(records: Iterable[Record], workers: int, seconds: float) -> dict[str, float]:
    """Worker seconds of a run by part. Outside cells: planning, starting workers, waiting, lost cells, tables."""
    found: defaultdict[str, float] = defaultdict(float)
    for record in records:
        for phase, lasted in record.timeline.items():
            if phase != "total":
                found["failed cells" if record.failed else PARTS.get(phase, "rest of cells")] += lasted
    found["outside cells"] = max(0.0, workers * seconds - sum(found.values()))
    return {part: found[part] for part in ORDER if found[part]}


def text(of: dict[str, float], workers: int, seconds: float) -> str:
    """For people, in a line or two."""
    shown = ", ".join(f"{row['part']} {row['percent']:.1f} %" for row in rows(of))
    return f"{duration(seconds)} with {workers} worker{'s' if workers > 1 else ''}: {shown}."


def rows(of: dict[str, float]) -> list[dict[str, Any]]:
    """The table's rows; their keys are its columns."""
    whole = sum(of.values())
    return [
        {"part": part, "worker_seconds": round(seconds, 3), "percent": round(100 * seconds / whole, 2)}
        for part, seconds in of.items()
    ]
