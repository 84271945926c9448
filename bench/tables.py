"""Tables for people, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from bench.grid import method_label

if TYPE_CHECKING:
    import pandas as pd

    from bench.claims import Claims


def text_table(rows: Iterable[Mapping[str, Any]], align: Sequence[str] | None = None) -> str:
    """Rows of cells that are text already, under their keys."""
    return tabulate(list(rows), headers="keys", tablefmt="simple", disable_numparse=True, colalign=align)


def leaderboard_table(frame: pd.DataFrame) -> str:
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
            "seeds": f"{row['n_seeds']}",
            "status": row["status"],
        }
        for row in frame.to_dict("records")
    ]
    if not rows:
        return "No records."
    return text_table(rows, ("left", "left", "left", *["right"] * 6, "left"))


def claims_table(claims: Claims, tasks: Iterable[str]) -> str:
    """What papers claim of these tasks, apart from what was measured; empty where they claim nothing."""
    rows = [
        {
            "task": ", ".join(claim.tasks),
            "method": claim.method,
            "claim": claim.summary,
            "share %": _number(claim.share_percent, ".3f"),
            "by": f"{claims.papers[claim.paper]}, {claim.where}",
        }
        for claim in claims.about(tasks).values()
    ]
    if not rows:
        return ""
    return f"Claimed by papers, not measured here:\n\n{text_table(rows, ('left', 'left', 'left', 'right', 'left'))}"


def plan_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """What each method trains on each task, a row each, in the width of a terminal."""
    shown = [
        {
            "task": row["task"],
            "special tokens": str(row["special_tokens"]),
            "method": method_label(row["method"], row["method_params"]),
            "trained": _number(row["trainable_params"], ",.0f"),
            "share %": _number(row["trainable_share_percent"], ".3f"),
            "head": _number(row["head_params"], ",.0f"),
            "with head %": _number(row["trainable_share_with_head_percent"], ".3f"),
            "of": _number(row["model_params"], ",.0f"),
        }
        for row in rows
    ]
    return text_table(shown, ("left", "right", "left", *["right"] * 5))


def legend(frame: pd.DataFrame) -> str:
    """What the columns of `leaderboard_table` mean."""
    kinds = ", ".join(sorted({str(kind) for kind in frame["memory_kind"] if kind})) or "unknown"
    profiles = ", ".join(sorted(set(frame["profile"])))
    return (
        "score: mean ± standard deviation over seeds on the test split. group: rows of one group are not told\n"
        "apart by these seeds. trained, share: without the head. "
        f"MiB: peak while training ({kinds}). Profile: {profiles}."
    )


def _score(row: Mapping[Any, Any]) -> str:
    if row["score_mean"] is None:
        return f"{row['metric'] or ''} -"
    spread = "" if row["score_std"] is None else f" ± {row['score_std']:.4f}"
    return f"{row['metric']} {row['score_mean']:.4f}{spread}"


def _number(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)
