"""The rows of a group in order, compared pair by pair."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from bench.leaderboard.rows import Group, Row, higher_is_better, metric_of, scores
from bench.plugins import registry
from bench.records.record import Record
from bench.stats import ALPHA
from bench.stats.multiple import holm, letters, rank_groups
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
    if found := registry.built_in_metrics().get(str(record.metric)):
        labels = record.data.labels if record.data else None
        return found.plugin().shares(list(record.predictions), list(record.references), labels)
    return np.array(record.shares) if len(record.shares) == len(record.references) > 1 else None


def compare_rows(first: Iterable[Record], second: Iterable[Record]) -> Comparison | None:
    """Compare two rows of one task by seed and by example; None where they have no seed in common.

    They are compared by seed only if their test examples differ or their predictions are unknown.
    """
    return compare_samples(sample(first), sample(second))


@dataclass(frozen=True)
class Ranking:
    """The rows of a group from best to worst, those without a score last.

    scored: how many rows have a score. sign: -1 where a lower score is better. comparisons: of every two rows with a
    score, in the order of itertools.combinations. letters, groups: of the rows of two seeds or more.
    """

    rows: list[Row]
    scored: int
    sign: int
    comparisons: Comparisons
    letters: dict[Row, str]
    groups: dict[Row, int]

    @property
    def pairs(self) -> list[tuple[Row, Row]]:
        """Every two rows with a score, the better mean first."""
        return list(combinations(self.rows[: self.scored], 2))


def rankings(rows: Mapping[Row, Sequence[Record]]) -> dict[Group, Ranking]:
    """The ranking of every group, by group in order.

    p-values are corrected for all pairs of a group; rows of fewer than two seeds have no letter.
    """
    groups: dict[Group, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return {group: _ranking({row: rows[row] for row in groups[group]}) for group in sorted(groups)}


def pair_lines(
    found: Mapping[Group, Ranking], rows: Mapping[Row, Sequence[Record]], against: str | None = None
) -> Iterator[dict[str, Any]]:
    """A line for every two rows with a score, the better mean first; see bench.leaderboard.columns.PAIRS.

    against: only the pairs with this method, for which p-values are corrected.
    """
    for group, ranking in found.items():
        pairs, compared = ranking.pairs, ranking.comparisons
        asked = [at for at, pair in enumerate(pairs) if against is None or against in {row.label for row in pair}]
        p_holm = corrected(compared, asked)
        detectable = compared.minimum_detectable(max(1, len(p_holm)))
        for at in asked:
            (better, worse), comparison, p_value = pairs[at], compared[at], p_holm.get(at)
            yield {
                **group._asdict(),
                "metric": metric_of(rows[better]),
                "method_a": better.label,
                "method_b": worse.label,
                "p_holm": p_value,
                "verdict": _verdict(p_value),
                "minimum_detectable_holm": None
                if p_value is None or np.isnan(detectable[at])
                else float(detectable[at]),
                **(vars(_signed(comparison, ranking.sign)) if comparison else {"n_seeds": 0}),
            }


def corrected(compared: Comparisons, asked: Iterable[int]) -> dict[int, float]:
    """Holm's p of the pairs that are asked about, by their place; without pairs of fewer than two common seeds.

    One seed compares two trainings, and allows no claim on the methods.
    """
    tested = [at for at in asked if compared.n_seeds[at] > 1 and not np.isnan(compared.p_values[at])]
    return dict(zip(tested, holm(compared.p_values[tested].tolist()), strict=True))


def _signed(found: Comparison, sign: int) -> Comparison:
    """With a positive difference where the first is better."""
    if sign > 0:
        return found
    low, high = (None if end is None else -end for end in (found.ci95_high, found.ci95_low))
    return replace(found, difference=-found.difference, ci95_low=low, ci95_high=high)


def _verdict(p_value: float | None) -> str:
    return "no claim" if p_value is None else "a is better" if p_value < ALPHA else "no significant difference"


def _ranking(results: Mapping[Row, Sequence[Record]]) -> Ranking:
    # Shares by example are large: they are freed with each group's samples.
    samples = {row: found for row, members in results.items() if (found := sample(members)).scores}
    means = {row: statistics.fmean(found.scores.values()) for row, found in samples.items()}
    sign = 1 if higher_is_better(r for row in samples for r in results[row]) else -1
    scored = sorted(samples, key=lambda row: (-sign * means[row], row))
    compared = compare_all([samples[row] for row in scored])
    adjusted = corrected(compared, range(len(compared)))
    p_values = {pair: adjusted.get(at, 1.0) for at, pair in enumerate(combinations(scored, 2))}
    several = [row for row in scored if len(samples[row].scores) > 1]
    rest = sorted(results.keys() - samples.keys())
    return Ranking(
        [*scored, *rest], len(scored), sign, compared, letters(several, p_values), rank_groups(several, p_values)
    )
