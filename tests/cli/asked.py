"""The command line of a run that would work."""

from __future__ import annotations

from pathlib import Path

from tiny_grid import TinyGrid


def options(grid: TinyGrid, results: Path, **changed: object) -> list[object]:
    """The options of a run that would work, with some replaced."""
    usual: dict[str, object] = {"suite": grid.suite, "profile": grid.profile, "results": results}
    chosen = {key: value for key, value in {**usual, **changed}.items() if value is not None}
    return ["run", *grid.plugins, *(part for key, value in chosen.items() for part in (f"--{key}", value))]
