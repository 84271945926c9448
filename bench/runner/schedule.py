"""In which order the cells of a grid start."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from bench.grid.cell import Cell


def in_order(cells: Iterable[Cell], workers: int, guess: Callable[[Cell], float | None]) -> Iterator[Cell]:
    """The cells seed by seed, so that an interrupted grid has compared all methods on some seeds.

    With one worker the cells of a seed keep their order. With several the longest start first, so that the last worker
    to finish has only a short cell left (at most 4/3 of the best total time, Graham 1969); cells of unknown length
    come before the others. A seed is sorted when its turn comes, by what was learned from the seeds before it.

    guess: seconds that a cell will take; None: unknown.
    """
    by_seed: dict[int, list[Cell]] = {}
    for cell in cells:
        by_seed.setdefault(cell.seed, []).append(cell)
    for same_seed in by_seed.values():
        yield from same_seed if workers == 1 else sorted(same_seed, key=lambda cell: -_length(guess(cell)))


def _length(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
