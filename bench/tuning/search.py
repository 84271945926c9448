"""What to try next of a method: a pure function of the trials that are there, so that any restart continues.

Stages, each from trials of the ones before it alone:

1. rates on a logarithmic grid, with the method's own other settings, at the first seed; where the best rate of a task,
   or the best over all tasks, is the lowest or highest tried, one more beyond it, again and again up to a limit;
2. the other values of each option (dropout) at the leaders: the best two over all tasks, and the task's own best;
3. further seeds for the leaders among all of these. A leader that fails or collapses at one of them is out, and the
   next best takes its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.plugins.search_space import Space
from bench.tuning.trials import Point, Trial, order, point

LEADERS = 2  # settings over all tasks that are looked at more closely
Known = Mapping[str, Mapping[Point, Trial]]  # by task
Values = Mapping[str, Mapping[Point, float | None]]  # by task; larger is better, None: never to be chosen


class Wanted(NamedTuple):
    """Settings to try on a task, at seeds that they have not been tried at."""

    task: str
    settings: Point
    seeds: tuple[int, ...]


def on_task(values: Mapping[Point, float | None]) -> list[Point]:
    """Settings with a value on a task, the best first."""
    usable = {each: value for each, value in values.items() if value is not None}
    return sorted(usable, key=lambda each: (-usable[each], order(each)))


def over_tasks(values: Values, floors: Mapping[str, float]) -> list[Point]:
    """Settings with a value on any task, the best over all tasks first.

    Those that have a value on more tasks come first: what fails or collapses on a task is no recipe for all of them.
    Then counts the mean over tasks of (value - floor) / (best - floor). The floor is the constant answer's score, not
    the worst trial's: one bad trial would move all others of its task up to 1, and take that task's say away.
    """
    shares: dict[Point, list[float]] = defaultdict(list)
    for task, of_task in values.items():
        usable = {each: value for each, value in of_task.items() if value is not None}
        best = max(usable.values(), default=0.0)
        span = best - floors[task] if best > floors[task] else 1.0
        for each, value in usable.items():
            shares[each].append(1 - (best - value) / span)
    return sorted(shares, key=lambda each: (-len(shares[each]), -sum(shares[each]), order(each)))


def leaders(values: Values, floors: Mapping[str, float], count: int) -> dict[str, list[Point]]:
    """On each task: the best `count` settings over all tasks, as far as they have a value there, and its own best."""
    common = over_tasks(values, floors)[:count]
    return {
        task: list(dict.fromkeys([*(each for each in common if of_task.get(each) is not None), *on_task(of_task)[:1]]))
        for task, of_task in values.items()
    }


def by_task(trials: Iterable[Trial]) -> dict[str, dict[Point, Trial]]:
    """Trials of one method by task and settings."""
    found: dict[str, dict[Point, Trial]] = defaultdict(dict)
    for trial in trials:
        found[trial.task][trial.point] = trial
    return found


def floors_of(known: Known, tasks: Iterable[str]) -> dict[str, float]:
    """The score of a constant answer on each task; 0 where it has none, as a correlation."""
    found = {task: [trial.floor for trial in known.get(task, {}).values()] for task in tasks}
    return {task: next((floor for floor in floors if floor is not None), 0.0) for task, floors in found.items()}


@dataclass(frozen=True)
class Search:
    """How a method is searched on some tasks.

    rates: of the first grid, over two decades. extensions: most rates beyond it on a task.
    """

    space: Space
    tasks: Sequence[str]
    seeds: tuple[int, ...]
    rates: int
    extensions: int

    @property
    def steps(self) -> int:
        return self.space.steps(self.rates)

    @property
    def sizes(self) -> tuple[int, int]:
        """The least and the most cells that it takes, if no leader fails at a further seed."""
        options = sum(len(values) - 1 for values in self.space.options.values())
        each = options + len(self.seeds) - 1
        most = LEADERS + (len(self.tasks) > 1)
        start = self.steps + 1
        return len(self.tasks) * (start + LEADERS * each), len(self.tasks) * (start + self.extensions + most * each)

    def wanted(self, trials: Iterable[Trial]) -> list[Wanted]:
        """What to try next, after these trials of the method; nothing: the search is over."""
        known, first = by_task(trials), self.seeds[:1]
        floors = floors_of(known, self.tasks)
        rates = self._rates(known, floors)
        if missing := _missing(known, rates, first):
            return missing
        leading = leaders(_values(known, rates, lambda trial: trial.value(first)), floors, LEADERS)
        tried = {task: [*rates[task], *self._options(known[task], leading[task])] for task in self.tasks}
        if missing := _missing(known, tried, first):
            return missing
        return self._further_seeds(known, _values(known, tried, lambda trial: trial.value(first)), floors)

    def _rates(self, known: Known, floors: Mapping[str, float]) -> dict[str, list[Point]]:
        """The rates of each task, as far as they are known to be needed."""
        grids = dict.fromkeys(self.tasks, range(self.steps + 1))
        while True:
            rates = {task: [self._rate(at) for at in grid] for task, grid in grids.items()}
            if _missing(known, rates, self.seeds[:1]):
                return rates
            leading = leaders(_values(known, rates, lambda trial: trial.value(self.seeds[:1])), floors, 1)
            wider = {task: self._extended(grid, leading[task]) for task, grid in grids.items()}
            if wider == grids:
                return rates
            grids = wider

    def _rate(self, at: int) -> Point:
        return point({"learning_rate": self.space.rate(at, self.steps)})

    def _extended(self, grid: range, leading: Sequence[Point]) -> range:
        """The grid, with one more step beyond each edge that leads, as far as the limits allow."""
        for each in leading:
            below, above = (each == self._rate(grid[at]) for at in (0, -1))
            wider = range(grid.start - below, grid.stop + above)
            possible = None not in (self.space.rate(wider[at], self.steps) for at in (0, -1))
            if possible and len(wider) <= self.steps + 1 + self.extensions:
                grid = wider
        return grid

    def _options(self, known: Mapping[Point, Trial], leading: Sequence[Point]) -> list[Point]:
        """The leading rates with each value of each option that is not the method's own."""
        return [
            point({**dict(each), name: value})
            for each in leading
            for name, values in self.space.options.items()
            for value in values
            if value != known[each].setting(name)
        ]

    def _further_seeds(self, known: Known, values: Values, floors: Mapping[str, float]) -> list[Wanted]:
        """What is missing of the leaders at all seeds.

        Those that fail leave together, when all have been tried: so the order of the records does not matter.
        """
        left = {task: dict(of_task) for task, of_task in values.items()}
        while True:
            leading = leaders(left, floors, LEADERS)
            missing = _missing(known, leading, self.seeds)
            failed = [
                (t, each)
                for t, of_task in leading.items()
                for each in of_task
                if None in known[t][each].scores.values()
            ]
            if missing or not failed:
                return missing
            for task, each in failed:
                left[task][each] = None


def _values(known: Known, wanted: Mapping[str, Sequence[Point]], value: Callable[[Trial], float | None]) -> Values:
    return {task: {each: value(known[task][each]) for each in points} for task, points in wanted.items()}


def _missing(known: Known, wanted: Mapping[str, Sequence[Point]], seeds: Sequence[int]) -> list[Wanted]:
    """What has no record yet, failed ones included."""
    found = []
    for task, points in wanted.items():
        for each in points:
            trial = known.get(task, {}).get(each)
            if rest := tuple(seed for seed in seeds if trial is None or seed not in trial.scores):
                found.append(Wanted(task, each, rest))
    return found
