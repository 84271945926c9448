"""A published folder's CSV files as Markdown tables.

Computed here: means over tasks, and what Holm's correction leaves of one method's pairs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.plugins.specs import method_label
from bench.sanitize import markdown
from bench.stats import ALPHA
from bench.stats.multiple import holm

Line = Mapping[str, str]


class _Difference(NamedTuple):
    """How far a method lies from another, with its 95 % interval; apart: they are told apart, corrected."""

    value: float
    low: float
    high: float
    apart: bool = False


def table(lines: Sequence[Line], ranks: Mapping[str, str]) -> str:
    """Lines of leaderboard.csv as a Markdown table, a row a method, the best mean first.

    ranks: average_rank of overall.csv by method. A method without a score on every task has no mean, and stands last.
    """
    metrics = {line["task"]: line["metric"] for line in lines if line["metric"]}
    tasks = sorted({line["task"] for line in lines})
    by_method: dict[str, dict[str, Line]] = {}
    for line in lines:
        by_method.setdefault(method_label(line["method"], line["method_params"]), {})[line["task"]] = line
    means = {label: _mean(of, tasks) for label, of in by_method.items()}
    ordered = sorted(by_method, key=lambda label: (math.inf if (mean := means[label]) is None else -mean, label))
    heads = [f"{markdown(task)}, {markdown(metrics.get(task, 'no score'))}" for task in tasks]
    rows = []
    for label in ordered:
        of = by_method[label]
        shares = _numbers(of, "trainable_share_percent")
        seconds, memory = _numbers(of, "train_seconds"), _numbers(of, "peak_train_memory_mib")
        rows.append(
            [
                markdown(label),
                _range(shares),
                *(_score(of.get(task)) for task in tasks),
                _shown(means[label], ".4f"),
                _shown(float(ranks[label]) if label in ranks else None, ".2f"),
                _shown(statistics.fmean(seconds) if seconds else None, ",.0f"),
                _shown(max(memory, default=None), ",.0f"),
            ]
        )
    return _markdown_table(["method", "share, %", *heads, "mean", "rank", "s", "MiB"], rows)


def differences(lines: Sequence[Line], method: str) -> str:
    """Lines of pairs.csv that have a method as a Markdown table, a row for each other one, the best mean first.

    Whoever asks how all others compare with one method makes fewer comparisons than all pairs are, so Holm's correction
    is for these of a task. The mean's half width is the root of the summed squares of the tasks' half widths, over
    their number: that of a mean of independent differences. A method that was not compared on every task has no mean,
    and stands last.
    """
    tasks = sorted({line["task"] for line in lines})
    metrics = {line["task"]: line["metric"] for line in lines}
    with_it = [line for line in lines if method in (line["method_a"], line["method_b"])]
    apart = _told_apart(with_it)
    by_method: dict[str, dict[str, _Difference]] = {}
    for line in with_it:
        if not line["ci95_low"]:
            continue
        other, sign = (line["method_b"], -1) if line["method_a"] == method else (line["method_a"], 1)
        low, high = sorted(sign * float(line[end]) for end in ("ci95_low", "ci95_high"))
        found = _Difference(sign * float(line["difference"]), low, high, apart=line in apart)
        by_method.setdefault(other, {})[line["task"]] = found
    means = {other: _over_tasks(list(of.values())) for other, of in by_method.items() if len(of) == len(tasks)}
    ordered = sorted(by_method, key=lambda other: (-means[other].value if other in means else math.inf, other))
    heads = [f"{markdown(task)}, {markdown(metrics[task])}" for task in tasks]
    rows = [
        [markdown(other), *(_points(by_method[other].get(task)) for task in tasks), _points(means.get(other))]
        for other in ordered
    ]
    return _markdown_table([f"less {markdown(method)}", *heads, "mean"], rows)


def _told_apart(lines: Sequence[Line]) -> list[Line]:
    """Those told apart after Holm's correction for these lines of a task. A pair with one common seed is not tested."""
    found = []
    for task in {line["task"] for line in lines}:
        tested = [line for line in lines if line["task"] == task and line["p_holm"]]
        adjusted = holm([float(line["p_value"]) for line in tested])
        found += [line for line, p in zip(tested, adjusted, strict=True) if p < ALPHA]
    return found


def _over_tasks(differences: Sequence[_Difference]) -> _Difference:
    mean = statistics.fmean(each.value for each in differences)
    half = math.hypot(*((each.high - each.low) / 2 for each in differences)) / len(differences)
    return _Difference(mean, mean - half, mean + half)


def _points(found: _Difference | None) -> str:
    if found is None:
        return "–"
    value, low, high = (f"{100 * number:+.1f}" for number in found[:3])
    return f"{f'**{value}**' if found.apart else value} ({low} to {high})"


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Names in the first column, numbers in the others."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _numbers(of: Mapping[str, Line], column: str) -> list[float]:
    return [float(line[column]) for line in of.values() if line[column]]


def _mean(of: Mapping[str, Line], tasks: Sequence[str]) -> float | None:
    scores = [of[task]["score_mean"] for task in tasks if task in of]
    return statistics.fmean(map(float, scores)) if len(scores) == len(tasks) and all(scores) else None


def _score(line: Line | None) -> str:
    if line is None or not line["score_mean"]:
        return "–"
    spread = f" ± {float(line['score_std']):.4f}" if line["score_std"] else ""
    return f"{float(line['score_mean']):.4f}{spread}"


def _range(values: Sequence[float]) -> str:
    ends = list(dict.fromkeys(f"{value:.3f}" for value in (min(values), max(values)))) if values else ["–"]
    return " to ".join(ends)


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
