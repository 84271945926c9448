"""How many seeds and test examples separate methods that differ by so much: from the variances of earlier results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import comb
from typing import Any

from bench.grid.suites import Suite
from bench.leaderboard.ranking import rankings
from bench.leaderboard.rows import Group, by_row, metric_of
from bench.records.record import Record
from bench.stats.power import components, detectable, examples_needed, seeds_needed

COLUMNS = (
    "task", "metric", "difference", "n_methods", "n_seeds", "n_examples", "detectable", "seeds_needed",
    "examples_needed", "measured_preset", "measured_pairs", "measured_seeds", "measured_examples",
)  # fmt: skip


def detection_lines(
    records: Iterable[Record], tasks: Sequence[str], model: str, suite: Suite, asked: tuple[float, int, int]
) -> Iterator[dict[str, Any]]:
    """A line for each task.

    Of several earlier results on a task and model those of this suite are used, else those of the most pairs.

    Args:
        asked: the difference, in units of the metric; methods, all pairs of which are compared; seeds.
    """
    wanted, methods, seeds = asked
    rows = by_row(record for record in records if record.cell.model == model)
    known = {group: (ranking, found) for group, ranking in rankings(rows).items()
             if (found := components(ranking.comparisons))}  # fmt: skip

    def fits(group: Group) -> tuple[bool, int]:
        return group.preset == suite.name, len(known[group][0].comparisons)

    for task in tasks:
        line: dict[str, Any] = dict.fromkeys(COLUMNS)
        line |= {"task": task, "difference": wanted, "n_methods": methods, "n_seeds": seeds}
        if group := max((each for each in known if each.task == task), key=fits, default=None):
            ranking, found = known[group]
            family, compared = comb(methods, 2), ranking.comparisons
            examples = _examples(suite, rows[ranking.rows[0]][0], int(compared.n_examples.max()))
            line |= {
                "metric": metric_of(rows[ranking.rows[0]]),
                "n_examples": examples,
                "detectable": detectable(found, seeds, examples, family) if seeds > 1 else None,
                "seeds_needed": seeds_needed(found, wanted, examples, family),
                "examples_needed": examples_needed(found, wanted, seeds, family) if seeds > 1 else None,
                "measured_preset": group.preset,
                "measured_pairs": len(compared),
                "measured_seeds": int(compared.n_seeds.max()),
                "measured_examples": int(compared.n_examples.max()),
            }
        yield line


def _examples(suite: Suite, measured: Record, count: int) -> int:
    """The test examples that a cell of the suite will have, as far as earlier cells tell how many there are."""
    wanted, had = suite.budget.test_examples, measured.cell.budget.test_examples
    every = had is None or count < had  # they used all that there are
    return count if wanted is None else min(wanted, count) if every else wanted
