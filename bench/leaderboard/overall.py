"""Methods over all tasks of a model, profile, preset and pooling: means, differences, ranks, costs."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from bench.leaderboard.ranking import Ranking, corrected
from bench.leaderboard.rows import Group, Row
from bench.stats import ALPHA
from bench.stats.multiple import letters, rank_groups
from bench.stats.over_tasks import OverTasks, Task
from bench.stats.overall import average_ranks
from bench.stats.summary import median_of_known

Line = Mapping[str, Any]
FLOOR, FULL = "head", "full"  # the ends of the way that `gain_percent` is a share of
COSTS = (
    "trainable_share_percent", "peak_train_memory_mib", "train_examples_per_second", "adapter_bytes", "train_seconds",
)  # fmt: skip


def overall_lines(
    found: Mapping[Group, Ranking], lines: Mapping[Row, Line], against: str | None = None
) -> list[dict[str, Any]]:
    """A line for each method of a board, the best mean first; see bench.leaderboard.columns.OVERALL.

    Extra tests do not count: they score the same training once more. Methods without a score on every task stand last.

    Args:
        lines: of the leaderboard, by row.
        against: a method to give differences from, besides the best one.
    """
    boards: dict[tuple[str, ...], list[Ranking]] = defaultdict(list)
    for group, ranking in found.items():
        if not ranking.rows[0].is_extra:
            boards[group[1:]].append(ranking)
    return [
        {**dict(zip(Group._fields[1:], board, strict=True)), **line}
        for board, rankings in sorted(boards.items())
        for line in _Board(rankings, lines).lines(against)
    ]


class _Board:
    """The tasks of a model, profile, preset and pooling."""

    def __init__(self, rankings: Sequence[Ranking], lines: Mapping[Row, Line]) -> None:
        self.tasks = [ranking for ranking in rankings if ranking.scored]
        self.of: dict[str, list[Line]] = defaultdict(list)
        for ranking in rankings:
            for row in ranking.rows:
                self.of[row.label].append(lines[row])
        self.scores = [
            {row.label: float(lines[row]["score_mean"]) for row in ranking.rows[: ranking.scored]}
            for ranking in self.tasks
        ]
        self.better = [
            {label: ranking.sign * score for label, score in scores.items()}
            for ranking, scores in zip(self.tasks, self.scores, strict=True)
        ]
        whole = [label for label in self.of if self.tasks and all(label in scores for scores in self.scores)]
        self.whole = sorted(whole, key=lambda label: (-statistics.fmean(each[label] for each in self.better), label))
        count = {label: sum(label in scores for scores in self.scores) for label in self.of}
        self.count = dict(sorted(count.items(), key=lambda each: (-each[1], each[0])))

    def lines(self, against: str | None) -> list[dict[str, Any]]:
        ranks, not_worse, compared = self._ranks(), self._not_worse(), self._compared(against)
        return [
            {
                "method": label,
                "n_tasks": self.count[label],
                **ranks.get(label, {}),
                **self._means(label),
                **compared.get(label, {}),
                "n_not_worse_than_best": not_worse[label],
                **{name: median_of_known([line.get(name) for line in self.of[label]]) for name in COSTS},
                "n_collapsed": _sum(line["n_collapsed"] for line in self.of[label]),
                "n_failed": _sum(line["n_failed"] for line in self.of[label]),
            }
            for label in [*self.whole, *(label for label in self.count if label not in self.whole)]
        ]

    def _means(self, label: str) -> dict[str, float]:
        """The mean score, and the mean share of the way from the head alone to full fine-tuning."""
        if label not in self.whole:
            return {}
        found = {}
        if len({ranking.sign for ranking in self.tasks}) == 1:
            found["score_mean"] = statistics.fmean(scores[label] for scores in self.scores)
        if all(FLOOR in each and FULL in each and each[FULL] > each[FLOOR] for each in self.better):
            gains = [(each[label] - each[FLOOR]) / (each[FULL] - each[FLOOR]) for each in self.better]
            found["gain_percent"] = 100 * statistics.fmean(gains)
        return found

    def _compared(self, against: str | None) -> dict[str, dict[str, Any]]:
        """The methods that have all tasks beside the best one, beside `against`, and their letters."""
        rows = self.whole
        if not rows:
            return {}
        tasks = [
            Task([row.label for row in ranking.rows[: ranking.scored]], ranking.comparisons, float(ranking.sign))
            for ranking in self.tasks
        ]
        over = OverTasks(rows, tasks)
        several = [label for label in rows if all((line.get("n_seeds") or 0) > 1 for line in self._scored(label))]
        named, pairs = letters(several, over.adjusted), len(rows) * (len(rows) - 1) // 2
        found: dict[str, dict[str, Any]] = {label: {"letters": named.get(label)} for label in rows}
        for label, line in found.items():
            line |= _difference("best", over, label, rows[0], pairs)
            if against in rows:
                line |= {"against": against, **_difference("against", over, label, against, len(rows) - 1)}
        return found

    def _scored(self, label: str) -> list[Line]:
        return [line for line in self.of[label] if line["score_mean"] is not None]

    def _not_worse(self) -> dict[str, int | None]:
        """On how many tasks a method is not significantly worse than the best; None: not known of one of its tasks."""
        found: dict[str, list[bool | None]] = defaultdict(list)
        for ranking in self.tasks:
            p_holm = corrected(ranking.comparisons, range(len(ranking.comparisons)))
            best, *rest = ranking.rows[: ranking.scored]
            found[best.label].append(True if best in ranking.letters else None)
            for at, row in enumerate(rest):  # the first pairs are those with the best
                found[row.label].append(p_holm[at] >= ALPHA if at in p_holm else None)
        return {label: None if None in (each := found.get(label, [None])) else each.count(True) for label in self.of}

    def _ranks(self) -> dict[str, dict[str, Any]]:
        """Average ranks; none for fewer than two tasks, or methods that have all of them."""
        ranked = average_ranks({str(at): each for at, each in enumerate(self.better)})
        if ranked is None:
            return {}
        ordered = sorted(ranked.ranks, key=lambda label: (ranked.ranks[label], label))
        p_values = {
            (a, b): 0.0 if ranked.ranks[b] - ranked.ranks[a] > ranked.critical_difference else 1.0
            for a, b in combinations(ordered, 2)
        }
        groups = rank_groups(ordered, p_values)
        return {
            label: {
                "average_rank": rank,
                "critical_difference": ranked.critical_difference,
                "friedman_p": ranked.friedman_p,
                "group": groups[label],
            }
            for label, rank in ranked.ranks.items()
        }


def _difference(name: str, over: OverTasks[str], label: str, other: str, family: int) -> dict[str, float | None]:
    """The columns of a method's difference from another one."""
    key = f"difference_to_{name}"
    if label == other:
        return {key: 0.0}
    found = over.difference(label, other, family)
    if found.half_width is None:
        return {key: found.difference}
    low, high = found.difference - found.half_width, found.difference + found.half_width
    return {key: found.difference, f"{key}_ci95_low": low, f"{key}_ci95_high": high}


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
