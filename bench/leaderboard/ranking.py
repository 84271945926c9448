"""Rows of one group compared pair by pair and put into rank groups, and methods ranked over tasks."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from bench.leaderboard.rows import Group, Row, higher_is_better, metric_of, scores
from bench.plugins import registry
from bench.plugins.metric import Metric
from bench.plugins.registry import Found
from bench.records.record import Record
from bench.stats import ALPHA
from bench.stats.multiple import holm, rank_groups
from bench.stats.overall import average_ranks
from bench.stats.paired import Comparison, Comparisons, Sample, compare_all, compare_samples
from bench.stats.per_example import Floats


def sample(members: Iterable[Record]) -> Sample:
    """The finished cells of a row for a comparison, by example if all seeds have the same test examples."""
    scored = {r.cell.seed: r for r in members if r.status == "ok" and r.score is not None}
    found = scores(scored.values())
    tests = {record.references for record in scored.values()}
    if len(tests) != 1:
        return Sample(found)
    known = {seed: share for seed, record in scored.items() if (share := _shares(record)) is not None}
    return Sample(found, known if len(known) == len(scored) else None, tests.pop())


def _shares(record: Record) -> Floats | None:
    """Stored for a metric that is not built in; computed for the others."""
    if found := _metrics().get(str(record.metric)):
        labels = record.data.labels if record.data else None
        return found.plugin().shares(list(record.predictions), list(record.references), labels)
    return np.array(record.shares) if len(record.shares) == len(record.references) > 1 else None


@cache
def _metrics() -> Mapping[str, Found[Metric]]:
    """The built-in metrics, by name."""
    return registry.metrics().built_in()


def compare_rows(first: Iterable[Record], second: Iterable[Record]) -> Comparison | None:
    """Compare two rows of one task by seed and by example; None where they have no seed in common.

    They are compared by seed only if their test examples differ or their predictions are unknown.
    """
    return compare_samples(sample(first), sample(second))


@dataclass(frozen=True)
class Ranking:
    """The rows of a group from best to worst, those without a score last, and their rank groups.

    scored: how many rows have a score. comparisons, p_holm: of every two of these, in the order of
    itertools.combinations; p_holm lacks pairs with fewer than two common seeds, which allow no claim.
    """

    rows: list[Row]
    scored: int
    comparisons: Comparisons
    p_holm: dict[int, float]
    groups: dict[Row, int]


def rankings(rows: Mapping[Row, Sequence[Record]]) -> dict[Group, Ranking]:
    """The ranking of every group, by group in order.

    p-values are corrected for all pairs of a group; rows of fewer than two seeds are in no rank group.
    """
    groups: dict[Group, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return {group: _ranking({row: rows[row] for row in groups[group]}) for group in sorted(groups)}


def pair_lines(found: Mapping[Group, Ranking], rows: Mapping[Row, Sequence[Record]]) -> Iterator[dict[str, Any]]:
    """A line for every two rows with a score, the better mean first; see bench.leaderboard.columns.PAIRS."""
    for group, ranking in found.items():
        named = [(row.label, metric_of(rows[row])) for row in ranking.rows[: ranking.scored]]
        for at, ((better, metric), (worse, _)) in enumerate(combinations(named, 2)):
            comparison, p_holm = ranking.comparisons[at], ranking.p_holm.get(at)
            verdict = "no claim" if p_holm is None else "a is better" if p_holm < ALPHA else "not told apart"
            yield {
                **group._asdict(),
                "metric": metric,
                "method_a": better,
                "method_b": worse,
                "p_holm": p_holm,
                "verdict": verdict,
                **(vars(comparison) if comparison else {"n_seeds": 0}),
            }


def overall_lines(rows: Mapping[Row, Sequence[Record]]) -> list[dict[str, Any]]:
    """A line for each method over all tasks of a model, profile, preset and pooling.

    See bench.leaderboard.columns.OVERALL. Extra tests do not count: they score the same training once more. Methods
    that did not finish every task are left out; there are no lines for fewer than two tasks or methods.
    """
    results: dict[tuple[str, ...], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row, members in rows.items():
        if not row.is_extra and (found := scores(members)):
            sign = 1 if higher_is_better(members) else -1
            results[row.group[1:]][row.group.task][row.label] = sign * statistics.fmean(found.values())
    lines = []
    for board, by_task in sorted(results.items()):
        ranked = average_ranks(by_task)
        if ranked is None:
            continue
        ordered = sorted(ranked.ranks, key=lambda label: (ranked.ranks[label], label))
        p_values = {
            (a, b): 0.0 if ranked.ranks[b] - ranked.ranks[a] > ranked.critical_difference else 1.0
            for a, b in combinations(ordered, 2)
        }
        groups = rank_groups(ordered, p_values)
        lines += [
            {
                **dict(zip(Group._fields[1:], board, strict=True)),
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


def _ranking(results: Mapping[Row, Sequence[Record]]) -> Ranking:
    # Shares by example are large: they are freed with each group's samples.
    samples = {row: found for row, members in results.items() if (found := sample(members)).scores}
    means = {row: statistics.fmean(found.scores.values()) for row, found in samples.items()}
    sign = -1 if higher_is_better(r for row in samples for r in results[row]) else 1
    scored = sorted(samples, key=lambda row: (sign * means[row], row))
    compared = compare_all([samples[row] for row in scored])
    # One seed compares two trainings, not the methods.
    tested = np.flatnonzero((compared.n_seeds > 1) & ~np.isnan(compared.p_values)).tolist()
    adjusted = dict(zip(tested, holm(compared.p_values[tested].tolist()), strict=True))
    places = combinations(range(len(scored)), 2)
    p_values = {pair: adjusted.get(at, 1.0) for at, pair in enumerate(places)}
    several = [at for at, row in enumerate(scored) if len(samples[row].scores) > 1]
    groups = {scored[at]: group for at, group in rank_groups(several, p_values).items()}
    rest = sorted(results.keys() - samples.keys())
    return Ranking([*scored, *rest], len(scored), compared, adjusted, groups)
