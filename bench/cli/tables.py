"""Tables for people, on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from bench.forecast.seconds import duration
from bench.plugins.specs import method_label
from bench.sanitize import one_line
from bench.text import text_table

if TYPE_CHECKING:
    from bench.stats.pscp import Pscp

Line = Mapping[str, Any]  # of a table, see bench.leaderboard.columns


def leaderboard_table(lines: Iterable[Line]) -> str:
    """The leaderboard in the width of a terminal: score with spread, share, memory, speed."""
    rows = [
        {
            "task": row["task"],
            "method": method_label(row["method"], row["method_params"]),
            "score": _score(row),
            "group": _number(row["rank_group"], ".0f"),
            "trained": _number(row["trainable_params"], ",.0f"),
            "share %": _number(row["trainable_share_percent"], ".3f"),
            "MiB": _number(row["peak_train_memory_mib"], ",.0f"),
            "ex/s": _number(row["train_examples_per_second"], ",.0f"),
            **({"PSCP": _number(row["pscp"], ".4f")} if "pscp" in row else {}),
            "seeds": f"{row['n_seeds']}",
            "status": row["status"],
        }
        for row in lines
    ]
    if not rows:
        return "No records."
    return text_table(rows, ("left", "left", "left", *["right"] * (len(rows[0]) - 4), "left"))


def pairs_table(lines: Iterable[Line]) -> str:
    """Every two methods of a task: how far apart, how sure, and what could have been found at all."""
    rows = [
        {
            "task": row["task"],
            "a": row["method_a"],
            "b": row["method_b"],
            "a - b": _number(row["difference"], "+.4f"),
            "95 % interval": _interval(row),
            "p (Holm)": p_text(row["p_holm"]),
            "seeds": f"{row['n_seeds']}",
            "examples": _number(row["n_examples"], ",.0f"),
            "detectable": _number(row["minimum_detectable"], ".4f"),
            "verdict": row["verdict"],
        }
        for row in lines
    ]
    if not rows:
        return "No two methods have a score on one task."
    table = text_table(rows, ("left", "left", "left", *["right"] * 6, "left"))
    return (
        f"{table}\n\n"
        "a - b: mean difference at common seeds, paired by seed and by test example. p: corrected for all pairs of a\n"
        "task. detectable: the true difference that such a comparison would find four times of five, before correction."
    )


def cells_table(lines: Iterable[Line]) -> str:
    """Every cell: its score or why there is none, and what its training cost."""
    rows = [
        {
            "cell": row["cell"],
            "task": row["task"],
            "method": method_label(row["method"], row["method_params"]),
            "seed": f"{row['seed']}",
            "score": f"{row['metric'] or ''} {_number(row['score'], '.4f')}".strip(),
            "MiB": _number(row["peak_train_memory_mib"], ",.0f"),
            "ex/s": _number(row["train_examples_per_second"], ",.0f"),
            "time": "-" if row["total_seconds"] is None else duration(row["total_seconds"]),
            "status": row["status"] if row["reason"] is None else f"{row['status']}: {row['reason']}",
        }
        for row in lines
    ]
    return text_table(rows, ("left", "left", "left", "right", "left", *["right"] * 3, "left"))


def overall_table(lines: Iterable[Line]) -> str:
    """Average ranks over tasks, a table for each model, profile and preset."""
    parts = []
    for key, part in groupby(lines, key=itemgetter("model", "profile", "preset")):
        members = list(part)
        rows = [
            {"method": row["method"], "average rank": f"{row['average_rank']:.2f}", "group": f"{row['group']}"}
            for row in members
        ]
        first = members[0]
        friedman = "" if first["friedman_p"] is None else f" Friedman's p: {first['friedman_p']:.4f}."
        parts.append(
            f"{one_line(', '.join(key))}: ranks over {first['n_tasks']} tasks\n\n"
            f"{text_table(rows, ('left', 'right', 'right'))}\n\n"
            f"Critical difference: {first['critical_difference']:.2f} (Nemenyi, 5 %). "
            f"Methods of one group are closer than\nthat to its best.{friedman}"
        )
    return "\n\n".join(parts) or "Ranks over tasks need two methods that finished the same two tasks."


def _interval(row: Mapping[Any, Any]) -> str:
    if row["ci95_low"] is None:
        return "-"
    return f"{row['ci95_low']:+.4f} to {row['ci95_high']:+.4f}"


def plan_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """What each method trains and takes on each task, a row each, in the width of a terminal."""
    shown = [
        {
            "task": row["task"],
            "special": str(row["special_tokens"]),
            "method": method_label(row["method"], row["method_params"]),
            "trained": _number(row["trainable_params"], ",.0f"),
            "share %": _number(row["trainable_share_percent"], ".3f"),
            "tokens": _number(row["batch_tokens"], ",.0f") + _star(row),
            "GFLOP": _number(_over(row["train_step_flops"], 1e9), ",.0f"),
            "MiB": _number(row["predicted_peak_train_memory_mib"], ",.0f"),
            "adapter kB": _number(_over(row["predicted_adapter_bytes"], 1e3), ",.0f"),
            "time": "-" if row["predicted_seconds"] is None else duration(row["predicted_seconds"]),
            "fits": "-" if row["fits"] is None else "yes" if row["fits"] else "NO",
        }
        for row in rows
    ]
    return text_table(shown, ("left", "right", "left", *["right"] * 7, "left"))


def _star(row: Mapping[str, Any]) -> str:
    """Marks an upper bound that no data stand behind."""
    return "*" if row["batch_tokens"] is not None and row["batch_tokens_from"] != "data" else ""


def _over(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def legend(lines: Sequence[Line], pscp: Pscp | None = None) -> str:
    """What the columns of `leaderboard_table` mean; pscp: the constants of that column, where there is one."""
    kinds = one_line(", ".join(sorted({str(row["memory_kind"]) for row in lines if row["memory_kind"]})) or "unknown")
    profiles = ", ".join(sorted({row["profile"] for row in lines}))
    return (
        "score: mean ± standard deviation over seeds on the test split. group: rows of one group are not told\n"
        "apart by these seeds and test examples. trained, share: without the head. "
        f"MiB: peak while training ({kinds}).\nProfile: {profiles}. {_tuning(lines)}"
    ) + (
        f"\nPSCP: score with soft penalties for costs (arXiv 2511.21285), here with\n{pscp}.".replace("; ", "\n")
        if pscp
        else ""
    )


def _tuning(lines: Iterable[Line]) -> str:
    """With which budget the rows were tuned: whether the comparison is fair."""
    budgets = Counter((row["tuning_trials"], row["tuning_examples"]) for row in lines)
    several = len(budgets) > 1
    parts = [
        (f"from {trials} trials of {examples:,} examples" if trials and examples else "by hand")
        + (f" ({count} {'row' if count == 1 else 'rows'})" if several else "")
        for (trials, examples), count in sorted(budgets.items(), key=lambda item: -item[1])
    ]
    return f"Recipes chosen {one_line('; '.join(parts))}." if parts else ""


def _score(row: Mapping[Any, Any]) -> str:
    if row["score_mean"] is None:
        return f"{row['metric'] or ''} -"
    spread = "" if row["score_std"] is None else f" ± {row['score_std']:.4f}"
    return f"{row['metric']} {row['score_mean']:.4f}{spread}"


def p_text(value: float | None) -> str:
    """A p-value for people: no more digits than mean something, and never 0."""
    if value is None:
        return "-"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _number(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)
