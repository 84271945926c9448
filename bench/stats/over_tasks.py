"""Do two methods differ in the mean over tasks?

The difference is the mean over tasks of the differences on each. Its variance is the sum of the parts of all tasks
(seeds, examples), each with its own degrees of freedom, over the number of tasks squared; the test is that of
bench.stats.combined. Tasks are not a sample here: the answer is about these tasks, not about others.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.stats.combined import CombinedTest, Floats, Part
from bench.stats.multiple import holm
from bench.stats.paired import Comparisons

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Task(Generic[T]):
    """The rows of a task and the comparisons of every two of them, in the order of itertools.combinations.

    weight: what differences are multiplied by, for example -1 where a lower score is better.
    """

    rows: Sequence[T]
    comparisons: Comparisons
    weight: float = 1.0


class Difference(NamedTuple):
    """first - second, the mean over tasks.

    half_width: of the 95 % interval, simultaneous for the family that was asked for. p_value: not corrected. p_holm:
    corrected for all pairs. All three are None where a task has fewer than two common seeds, or nothing varies.
    """

    difference: float
    half_width: float | None
    p_value: float | None
    p_holm: float | None


class OverTasks(Generic[T]):
    """Every two of `rows` compared over tasks.

    adjusted: p corrected for all pairs, the earlier row first, 1 where there is none: for bench.stats.multiple.letters.
    """

    def __init__(self, rows: Sequence[T], tasks: Sequence[Task[T]]) -> None:
        """rows: different ones, each of them in every task. Raises ValueError without a task or for a missing row."""
        if not tasks:
            raise ValueError("a comparison over tasks needs at least one task")
        self.rows = list(rows)
        pairs = list(combinations(self.rows, 2))
        self._place = {pair: at for at, pair in enumerate(pairs)}
        differences, parts, tested = np.zeros(len(pairs)), list[Part](), np.ones(len(pairs), dtype=bool)
        for task in tasks:
            at, sign = self._pairs_of(task)
            weight = task.weight / len(tasks)
            differences += weight * sign * task.comparisons.differences[at]
            tested &= task.comparisons.n_seeds[at] > 1  # one seed compares two trainings, not the methods
            parts += [Part(weight**2 * part.variance[at], part.freedom[at]) for part in task.comparisons.parts]
        test = CombinedTest(parts)
        self._differences, self._tested = differences, tested & (test.error > 1e-9 * np.abs(differences))
        self._p_values = test.p_values(differences)
        self._p_holm = np.ones(len(pairs))
        self._p_holm[self._tested] = holm(self._p_values[self._tested].tolist())
        self.adjusted = dict(zip(pairs, self._p_holm.tolist(), strict=True))
        self._half_widths = cache(test.half_widths)

    def difference(self, first: T, second: T, family: int) -> Difference:
        """first - second. family: of how many differences the intervals are simultaneous, this one among them."""
        sign = 1.0 if (first, second) in self._place else -1.0
        at = self._place[(first, second) if sign > 0 else (second, first)]
        difference = sign * float(self._differences[at])
        if not self._tested[at]:
            return Difference(difference, None, None, None)
        half = float(self._half_widths(family)[at])
        return Difference(difference, half, float(self._p_values[at]), float(self._p_holm[at]))

    def _pairs_of(self, task: Task[T]) -> tuple[NDArray[np.intp], Floats]:
        """Where the task has each pair of `rows`, and -1 where it has it in the other order, else 1."""
        place = {row: at for at, row in enumerate(task.rows)}
        if missing := [row for row in self.rows if row not in place]:
            raise ValueError(f"{missing[0]} is not in every task; compare over tasks only rows that all of them have")
        where = np.array([place[row] for row in self.rows], dtype=np.intp)
        a, b = (where[each] for each in np.triu_indices(len(where), 1))
        low, high, count = np.minimum(a, b), np.maximum(a, b), len(task.rows)
        return low * (2 * count - low - 1) // 2 + high - low - 1, np.where(a < b, 1.0, -1.0)
