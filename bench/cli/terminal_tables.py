"""Tables for people, on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from bench.forecast.seconds import duration
from bench.plugins.specs import method_label
from bench.sanitize import one_line
from bench.text import text_table

Line = Mapping[str, Any]  # of a table, see bench.leaderboard.columns


class Column(NamedTuple):
    """What a column shows of a line."""

    show: Callable[[Line], str]
    align: str = "left"


def text(key: str) -> Column:
    return Column(lambda line: str(line[key]))


def number(key: str, form: str = "", unit: float | None = None) -> Column:
    """form: as `format` takes it. unit: to divide by."""

    def show(line: Line) -> str:
        value = line[key]
        return "-" if value is None else format(value if unit is None else value / unit, form)

    return Column(show, "right")


def table(lines: Iterable[Line], columns: Mapping[str, Column]) -> str:
    rows = [{name: column.show(line) for name, column in columns.items()} for line in lines]
    return text_table(rows, [column.align for column in columns.values()])


def varying(lines: Sequence[Line]) -> dict[str, Column]:
    """Columns for what the rows of a table are of, where that is not the same in all of them."""
    names = ("model", "profile", "preset", "pooling")
    return {name: text(name) for name in names if len({line[name] for line in lines}) > 1}


METHOD = Column(lambda line: method_label(line["method"], line["method_params"]))
COSTS = {"MiB": number("peak_train_memory_mib", ",.0f"), "ex/s": number("train_examples_per_second", ",.0f")}


def shown(which: str, lines: Sequence[Line]) -> str:
    """A table by its name, the leaderboard with its legend."""
    match which:
        case "cells":
            return cells_table(lines)
        case "pairs":
            return pairs_table(lines)
        case "overall":
            return overall_table(lines)
    return f"{leaderboard_table(lines)}\n\n{legend(lines)}"


def leaderboard_table(lines: Sequence[Line]) -> str:
    """The leaderboard: score with spread, share, memory, speed."""
    if not lines:
        return "No records."
    return table(lines, {
        "task": text("task"), **varying(lines), "method": METHOD, "score": Column(_score),
        "group": number("rank_group", ".0f"),
        "trained": number("trainable_params", ",.0f"), "share %": number("trainable_share_percent", ".3f"),
        **COSTS, "seeds": number("n_seeds"), "status": Column(_status),
    })  # fmt: skip


def cells_table(lines: Sequence[Line]) -> str:
    """Every cell: its score or why there is none, and what its training cost."""
    return table(lines, {
        "cell": text("cell"), "task": text("task"), **varying(lines), "method": METHOD, "seed": number("seed"),
        "score": Column(lambda line: f"{line['metric'] or ''} {number('score', '.4f').show(line)}".strip()),
        **COSTS, "seconds": number("total_seconds", ",.0f"),
        "status": Column(lambda line: ": ".join(filter(None, (line["status"], line["reason"] or line["collapsed"])))),
    })  # fmt: skip


def pairs_table(lines: Sequence[Line]) -> str:
    """Every two methods of a task: how far apart, how sure, and what could have been found at all."""
    if not lines:
        return "No two methods have a score on one task."
    shown = table(lines, {
        "task": text("task"), **varying(lines), "a": text("method_a"), "b": text("method_b"),
        "a - b": number("difference", "+.4f"),
        "95 % interval": Column(_interval, "right"), "p (Holm)": Column(lambda line: p_text(line["p_holm"]), "right"),
        "seeds": number("n_seeds"), "examples": number("n_examples", ",.0f"),
        "detectable": number("minimum_detectable", ".4f"), "verdict": text("verdict"),
    })  # fmt: skip
    return (
        f"{shown}\n\n"
        "a - b: mean difference at common seeds, paired by seed and by test example. p: corrected for all pairs of a\n"
        "task. detectable: the smallest true difference found with 80 % power, before that correction."
    )


def overall_table(lines: Iterable[Line]) -> str:
    """Average ranks over tasks, a table for each model, profile, preset and pooling."""
    parts = []
    lines = [line for line in lines if line["average_rank"] is not None]
    for key, part in groupby(lines, key=itemgetter("model", "profile", "preset", "pooling")):
        members = list(part)
        first = members[0]
        ranks = table(members, {"method": text("method"), "average rank": number("average_rank", ".2f"),
                                "group": number("group")})  # fmt: skip
        friedman = "" if first["friedman_p"] is None else f" Friedman's p: {first['friedman_p']:.4f}."
        parts.append(
            f"{one_line(', '.join(key[:3]))}{_pooling(key[3])}: ranks over {first['n_tasks']} tasks\n\n{ranks}\n\n"
            f"Critical difference: {first['critical_difference']:.2f} (Nemenyi, 5 %). "
            f"Methods of one group are closer than\nthat to its best.{friedman}"
        )
    return "\n\n".join(parts) or "Ranks over tasks need two methods that finished the same two tasks."


def _pooling(pooling: str) -> str:
    return "" if pooling == "model" else f", {pooling} pooling"


def plan_table(lines: Iterable[Line]) -> str:
    """What each method trains and takes on each task."""
    return table(lines, {
        "task": text("task"), "special": number("special_tokens"), "method": METHOD,
        "trained": number("trainable_params", ",.0f"), "share %": number("trainable_share_percent", ".3f"),
        "tokens": Column(_tokens, "right"), "GFLOP": number("train_step_flops", ",.0f", 1e9),
        "MiB": number("predicted_peak_train_memory_mib", ",.0f"),
        "adapter kB": number("predicted_adapter_bytes", ",.0f", 1e3),
        "time": Column(lambda line: "-" if line["predicted_seconds"] is None else duration(line["predicted_seconds"]),
                       "right"),
        "fits": Column(lambda line: {None: "-", True: "yes", False: "NO"}[line["fits"]]),
    })  # fmt: skip


def _tokens(line: Line) -> str:
    """With a star where it is an upper bound, which no data stand behind."""
    star = "*" if line["batch_tokens"] is not None and line["batch_tokens_from"] != "data" else ""
    return number("batch_tokens", ",.0f").show(line) + star


def _status(line: Line) -> str:
    """With the trainings that came to nothing, whose scores count all the same."""
    return f"{line['status']}, {line['n_collapsed']} collapsed" if line["n_collapsed"] else str(line["status"])


def _interval(line: Line) -> str:
    return "-" if line["ci95_low"] is None else f"{line['ci95_low']:+.4f} to {line['ci95_high']:+.4f}"


def legend(lines: Sequence[Line]) -> str:
    """What the columns of `leaderboard_table` mean."""
    kinds = one_line(", ".join(sorted({str(row["memory_kind"]) for row in lines if row["memory_kind"]})) or "unknown")
    profiles = ", ".join(sorted({row["profile"] for row in lines}))
    any_collapsed = any(row["n_collapsed"] for row in lines)
    return (
        "score: mean ± standard deviation over seeds on the test split. group: methods of one group do not\n"
        "differ significantly on these seeds and test examples. trained, share: without the head. "
        f"MiB: peak while training ({kinds}).\nProfile: {profiles}.{_tuning(lines)}"
        + ("\ncollapsed: trainings that came to nothing; `leaderboard --per-cell` says why." * any_collapsed)
    )


def _tuning(lines: Iterable[Line]) -> str:
    """With which budget the rows were tuned: whether the comparison is fair."""
    budgets = Counter((row["tuning_trials"], row["tuning_examples"]) for row in lines if row["n_seeds"])
    several = len(budgets) > 1
    parts = [
        (f"tuned by {trials} trials of {examples:,} examples" if trials and examples else "not tuned for this budget")
        + (f" ({count} {'row' if count == 1 else 'rows'})" if several else "")
        for (trials, examples), count in sorted(budgets.items(), key=lambda item: -item[1])
    ]
    return f" Recipes: {one_line('; '.join(parts))}." if parts else ""


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
