"""In which order the cells of a grid are begun."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from bench.grid.cell import Cell


def in_order(cells: Iterable[Cell], workers: int, guess: Callable[[Cell], float | None]) -> Iterator[Cell]:
    """The cells seed by seed, so that a grid cut short has compared all methods on some seeds.

    With one worker the order within a seed cannot change when the grid ends, and the cells of a task stay together, as
    they come. With several, the longest are begun first: then the worker that is last to finish has only a short cell
    to finish (longest processing time first: at most 4/3 of the best makespan, Graham 1969). A worker that changes
    tasks more often for it loses little, since what it has prepared of a task it keeps. Cells of which nobody knows
    how long they take come before the others, since they may be the longest; ties stay as they come.

    A seed is put in order when its turn comes, so that its guesses know what the seeds before it took.

    Args:
        guess: seconds that a cell will take; None: unknown.
    """
    by_seed: dict[int, list[Cell]] = {}
    for cell in cells:
        by_seed.setdefault(cell.seed, []).append(cell)
    for same_seed in by_seed.values():
        yield from same_seed if workers == 1 else _longest_first(same_seed, guess)


def _longest_first(cells: list[Cell], guess: Callable[[Cell], float | None]) -> list[Cell]:
    def length(cell: Cell) -> float:
        seconds = guess(cell)
        return math.inf if seconds is None else seconds

    return sorted(cells, key=length, reverse=True)  # stable, also in reverse
