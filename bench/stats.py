"""From the scores of several seeds to claims: mean, spread, interval, and who differs from whom."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

ALPHA = 0.05


@dataclass(frozen=True)
class Summary:
    """Scores over seeds. std is the sample's, the interval the mean's, 95 %, by Student's t; one seed has neither."""

    mean: float
    std: float | None
    ci95_low: float | None
    ci95_high: float | None


def summarise(scores: Sequence[float]) -> Summary | None:
    """Summary of one or more scores; None of none."""
    if not scores:
        return None
    mean = statistics.fmean(scores)
    if len(scores) == 1:
        return Summary(mean, None, None, None)
    from scipy import stats

    std = statistics.stdev(scores)
    half = stats.t.ppf(1 - ALPHA / 2, len(scores) - 1) * std / math.sqrt(len(scores))
    return Summary(mean, std, mean - half, mean + half)


def paired_p_value(first: Mapping[int, float], second: Mapping[int, float]) -> float:
    """Two-sided p of a t-test on the differences at the seeds that both have; 1 where there are fewer than two.

    Differences that are all alike, to rounding, show the t-test no spread, and on a small test set two seeds
    are often alike by chance: then the p is that of a sign test, 2 / 2^seeds.
    """
    differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    if len(differences) < 2 or not any(differences):
        return 1.0
    if max(differences) - min(differences) < 1e-9 * max(map(abs, differences)):
        return 2.0 ** (1 - len(differences))
    from scipy import stats

    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p-values, in the order given."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = running
    return adjusted


def rank_groups(scores: Mapping[str, Mapping[int, float]], higher_is_better: bool = True) -> dict[str, int]:
    """Groups of rows that the data do not tell apart, the best being 1; rows of fewer than two seeds get none.

    The best row leads group 1; every row that a paired t-test, Holm-corrected over all pairs, does not
    separate from it is in its group. The best of the rest leads the next group.

    Args:
        scores: score by seed, by row.
    """
    sign = -1 if higher_is_better else 1
    rows = [row for row, by_seed in scores.items() if len(by_seed) >= 2]
    rows.sort(key=lambda row: (sign * statistics.fmean(scores[row].values()), row))
    pairs = list(combinations(rows, 2))
    adjusted = dict(zip(pairs, holm([paired_p_value(scores[a], scores[b]) for a, b in pairs]), strict=True))
    groups: dict[str, int] = {}
    waiting, group = rows, 0
    while waiting:
        leader, group = waiting[0], group + 1
        members = [leader, *(row for row in waiting[1:] if adjusted[leader, row] >= ALPHA)]
        groups.update(dict.fromkeys(members, group))
        waiting = [row for row in waiting if row not in groups]
    return groups
