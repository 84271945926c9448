"""Who is better than whom: rows of one group compared pair by pair, grouped, and ranked over tasks."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

from bench.leaderboard.rows import Group, Row, higher_is_better, scores
from bench.record import Record
from bench.stats import ALPHA
from bench.stats.contributions import contributions
from bench.stats.multiple import holm, rank_groups
from bench.stats.overall import average_ranks
from bench.stats.paired import Comparison, Sample, compare_samples


@dataclass(frozen=True)
class Scored:
    """What finished of one row, ready to be compared; what is costly is found when it is first asked for."""

    members: Sequence[Record]

    @cached_property
    def scores(self) -> dict[int, float]:
        return scores(self.members)

    @cached_property
    def mean(self) -> float:
        return statistics.fmean(self.scores.values())

    @cached_property
    def test_set(self) -> str | None:
        """A digest of the right answers, if all seeds were tested on the same; None otherwise."""
        found = {_digest(record.references) for record in self._scored}
        return found.pop() if len(found) == 1 else None

    @cached_property
    def sample(self) -> Sample:
        return Sample(self.scores, self._contributions() if self.test_set else None)

    @property
    def _scored(self) -> list[Record]:
        return [record for record in self.members if record.cell.seed in self.scores]

    def _contributions(self) -> Any:
        found = {}
        for record in self._scored:
            labels = record.data.labels if record.data else None
            each = contributions(str(record.metric), record.predictions, record.references, labels)
            if each is None:
                return None
            found[record.cell.seed] = each
        return found


def compare(first: Sequence[Record], second: Sequence[Record]) -> Comparison | None:
    """Compare two rows' records of one task by seed and by example; None where they have no seed in common."""
    return compare_scored(Scored(first), Scored(second))


def compare_scored(first: Scored, second: Scored) -> Comparison | None:
    """`compare` for results that are compared more than once.

    Only seeds are compared where the two were tested on different examples, or where predictions are not known.
    """
    if first.test_set is None or first.test_set != second.test_set:
        return compare_samples(Sample(first.scores), Sample(second.scores))
    return compare_samples(first.sample, second.sample)


class Pair(NamedTuple):
    """Two rows of a group, the better mean first. p_holm: None where fewer than two seeds allow no claim."""

    better: Row
    worse: Row
    comparison: Comparison | None
    p_holm: float | None

    @property
    def verdict(self) -> str:
        if self.p_holm is None:
            return "no claim"
        return "a is better" if self.p_holm < ALPHA else "not told apart"


class Standing(NamedTuple):
    """One group's rows from best to worst, those without a score last; every pair of rows with a score."""

    rows: list[Row]
    pairs: list[Pair]
    groups: dict[Row, int]


def standings(rows: Mapping[Row, Sequence[Record]]) -> dict[Group, Standing]:
    """Every group's standing, by group in order.

    p-values are corrected for all pairs of a group; rows of fewer than two seeds are in no rank group.
    """
    groups: dict[Group, dict[Row, Scored]] = defaultdict(dict)
    for row, members in rows.items():
        groups[row.group][row] = Scored(members)
    return {group: _standing(groups[group]) for group in sorted(groups)}


def pair_lines(found: Mapping[Group, Standing], rows: Mapping[Row, Sequence[Record]]) -> list[dict[str, Any]]:
    """A line for each pair; see bench.columns.PAIRS."""
    return [
        {
            **group._asdict(),
            "metric": next((r.metric for r in rows[pair.better] if r.metric), None),
            "method_a": pair.better.label,
            "method_b": pair.worse.label,
            "difference": pair.comparison and pair.comparison.difference,
            "ci95_low": pair.comparison and pair.comparison.ci95_low,
            "ci95_high": pair.comparison and pair.comparison.ci95_high,
            "p_value": pair.comparison and pair.comparison.p_value,
            "p_holm": pair.p_holm,
            "n_seeds": pair.comparison.n_seeds if pair.comparison else 0,
            "n_examples": pair.comparison and pair.comparison.n_examples,
            "minimum_detectable": pair.comparison and pair.comparison.minimum_detectable,
            "verdict": pair.verdict,
        }
        for group, standing in found.items()
        for pair in standing.pairs
    ]


def overall_lines(rows: Mapping[Row, Sequence[Record]]) -> list[dict[str, Any]]:
    """A line for each method over all tasks of a model, profile and preset; see bench.columns.OVERALL.

    Extra tests do not count: their score comes from the same training, and is no second witness. Methods that
    did not finish every task take no part; where fewer than two tasks or methods are left there is no line.
    """
    boards: dict[tuple[str, str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row, members in rows.items():
        if "/" not in row.group.task and (found := scores(members)):
            sign = 1 if higher_is_better(members) else -1
            boards[row.group[1:]][row.group.task][row.label] = sign * statistics.fmean(found.values())
    lines = []
    for board, by_task in sorted(boards.items()):
        ranked = average_ranks(by_task)
        if ranked is None:
            continue
        ordered = sorted(ranked.ranks, key=lambda label: (ranked.ranks[label], label))
        apart = {
            (a, b): 0.0 if ranked.ranks[b] - ranked.ranks[a] > ranked.critical_difference else 1.0
            for a, b in combinations(ordered, 2)
        }
        groups = rank_groups(ordered, apart)
        lines += [
            {
                "model": board[0],
                "profile": board[1],
                "preset": board[2],
                "method": label,
                "n_tasks": ranked.tasks,
                "average_rank": ranked.ranks[label],
                "critical_difference": ranked.critical_difference,
                "friedman_p": ranked.friedman_p,
                "group": groups[label],
            }
            for label in ordered
        ]
    return lines


def _standing(results: Mapping[Row, Scored]) -> Standing:
    scored = [row for row in results if results[row].scores]
    sign = -1 if higher_is_better(r for row in scored for r in results[row].members) else 1
    scored.sort(key=lambda row: (sign * results[row].mean, row))
    found = {pair: compare_scored(results[pair[0]], results[pair[1]]) for pair in combinations(scored, 2)}
    # One seed says nothing of the methods, whatever it says of two trainings.
    tested = {
        pair: each.p_value for pair, each in found.items() if each and each.n_seeds > 1 and each.p_value is not None
    }
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    pairs = [Pair(*pair, each, adjusted.get(pair)) for pair, each in found.items()]
    several = [row for row in scored if len(results[row].scores) > 1]
    groups = rank_groups(several, {pair: adjusted.get(pair, 1.0) for pair in found})
    return Standing([*scored, *sorted(results.keys() - set(scored))], pairs, groups)


def _digest(references: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(references).encode()).hexdigest()
