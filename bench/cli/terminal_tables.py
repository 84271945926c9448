"""Tables of what is not in a results folder: cells to run, and what they are predicted to take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.forecast.seconds import duration
from bench.leaderboard.layout import METHOD, UNKNOWN, Column, Line, number, text
from bench.text import text_table


def table(lines: Iterable[Line], columns: Mapping[str, Column]) -> str:
    rows = [{name: column.show(line) for name, column in columns.items()} for line in lines]
    return text_table(rows, [column.align for column in columns.values()])


def plan_table(lines: Iterable[Line]) -> str:
    """What each method trains and takes on each task."""
    return table(lines, {
        "task": text("task"), "special": number("special_tokens"), "method": METHOD,
        "trained": number("trainable_params", ",.0f"), "share %": number("trainable_share_percent", ".3f"),
        "tokens": Column(_tokens, "right"), "GFLOP": number("train_step_flops", ",.0f", 1e9),
        "MiB": number("predicted_peak_train_memory_mib", ",.0f"),
        "adapter kB": number("predicted_adapter_bytes", ",.0f", 1e3),
        "time": Column(lambda line: UNKNOWN if line["predicted_seconds"] is None else
                       duration(line["predicted_seconds"]), "right"),
        "fits": Column(lambda line: {None: UNKNOWN, True: "yes", False: "NO"}[line["fits"]]),
    })  # fmt: skip


def _tokens(line: Line) -> str:
    """With a star where it is an upper bound, which no data stand behind."""
    star = "*" if line["batch_tokens"] is not None and line["batch_tokens_from"] != "data" else ""
    return f"{number('batch_tokens', ',.0f').show(line)}{star}"
