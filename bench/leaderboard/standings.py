"""Who is better than whom: rows of one group compared pair by pair, grouped, and ranked over tasks."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from bench.leaderboard.rows import Group, Row, higher_is_better, scores
from bench.records.record import Record
from bench.stats import ALPHA
from bench.stats.multiple import holm, rank_groups
from bench.stats.overall import average_ranks
from bench.stats.paired import Comparison, Comparisons, Sample, compare_all, compare_samples
from bench.stats.per_example import Floats, shares


def sample(members: Iterable[Record]) -> Sample:
    """What finished of one row, ready to be compared: by example where all seeds were tested on the same ones."""
    scored = {r.cell.seed: r for r in members if r.status == "ok" and r.score is not None}
    found = scores(scored.values())
    tests = {record.references for record in scored.values()}
    if len(tests) != 1:
        return Sample(found)
    known = {seed: share for seed, record in scored.items() if (share := _shares(record)) is not None}
    return Sample(found, known if len(known) == len(scored) else None, tests.pop())


def _shares(record: Record) -> Floats | None:
    labels = record.data.labels if record.data else None
    try:
        return shares(str(record.metric), list(record.predictions), list(record.references), labels)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None  # of another metric, or predictions that do not fit this one


def compare(first: Iterable[Record], second: Iterable[Record]) -> Comparison | None:
    """Compare two rows' records of one task by seed and by example; None where they have no seed in common.

    Only seeds are compared where the two were tested on different examples, or where predictions are not known.
    """
    return compare_samples(sample(first), sample(second))


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


@dataclass(frozen=True)
class Standing:
    """One group's rows from best to worst, those without a score last, and their rank groups.

    comparisons, p_holm: of every two of the `scored` first rows, in the order of itertools.combinations.
    """

    rows: list[Row]
    scored: int
    comparisons: Comparisons
    p_holm: dict[int, float]
    groups: dict[Row, int]

    def pairs(self) -> Iterator[Pair]:
        """Every two rows with a score."""
        for at, pair in enumerate(combinations(self.rows[: self.scored], 2)):
            yield Pair(*pair, self.comparisons[at], self.p_holm.get(at))


def standings(rows: Mapping[Row, Sequence[Record]]) -> dict[Group, Standing]:
    """Every group's standing, by group in order.

    p-values are corrected for all pairs of a group; rows of fewer than two seeds are in no rank group.
    """
    groups: dict[Group, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return {group: _standing({row: rows[row] for row in groups[group]}) for group in sorted(groups)}


def pair_lines(found: Mapping[Group, Standing], rows: Mapping[Row, Sequence[Record]]) -> Iterator[dict[str, Any]]:
    """A line for each pair; see bench.leaderboard.columns.PAIRS."""
    for group, standing in found.items():
        labels = {row: row.label for row in standing.rows}
        metrics = {row: next((r.metric for r in rows[row] if r.metric), None) for row in standing.rows}
        for pair in standing.pairs():
            yield {
                **group._asdict(),
                "metric": metrics[pair.better],
                "method_a": labels[pair.better],
                "method_b": labels[pair.worse],
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


def overall_lines(rows: Mapping[Row, Sequence[Record]]) -> list[dict[str, Any]]:
    """A line for each method over all tasks of a model, profile and preset; see bench.leaderboard.columns.OVERALL.

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


def _standing(results: Mapping[Row, Sequence[Record]]) -> Standing:
    # Here, and for no longer: what each test example contributed is large.
    samples = {row: found for row, members in results.items() if (found := sample(members)).scores}
    means = {row: statistics.fmean(found.scores.values()) for row, found in samples.items()}
    sign = -1 if higher_is_better(r for row in samples for r in results[row]) else 1
    scored = sorted(samples, key=lambda row: (sign * means[row], row))
    compared = compare_all([samples[row] for row in scored])
    # One seed says nothing of the methods, whatever it says of two trainings.
    tested = np.flatnonzero((compared.n_seeds > 1) & ~np.isnan(compared.p_values)).tolist()
    adjusted = dict(zip(tested, holm(compared.p_values[tested].tolist()), strict=True))
    places = combinations(range(len(scored)), 2)
    apart = {pair: adjusted.get(at, 1.0) for at, pair in enumerate(places)}
    several = [at for at, row in enumerate(scored) if len(samples[row].scores) > 1]
    groups = {scored[at]: group for at, group in rank_groups(several, apart).items()}
    rest = sorted(results.keys() - samples.keys())
    return Standing([*scored, *rest], len(scored), compared, adjusted, groups)
