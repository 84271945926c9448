"""Tables of what is not in a results folder: cells to run, and what they are predicted to take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.forecast.seconds import duration
from bench.leaderboard.layout import METHOD, UNKNOWN, Column, Line, number, text
from bench.stats.power import MOST_EXAMPLES, MOST_SEEDS
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


def detection_table(lines: Sequence[Line]) -> str:
    """The seeds, or the test examples, with which a difference of two methods is found."""
    first = lines[0]
    wanted, seeds = f"{first['difference']:g}", first["n_seeds"]
    shown = table(lines, {
        "task": text("task"), "metric": Column(lambda line: line["metric"] or "no results"),
        "examples": number("n_examples", ",d"), f"found with {seeds} seeds": number("detectable", ".4f"),
        f"seeds for {wanted}": Column(_needed("seeds_needed", f"> {MOST_SEEDS}"), "right"),
        f"or examples for {wanted}": Column(_needed("examples_needed", f"> {MOST_EXAMPLES:,}"), "right"),
        "variances from": Column(_measured),
    })  # fmt: skip
    return (
        f"{shown}\n\n"
        f"Differences found with 80 % power, corrected for all pairs of {first['n_methods']} methods: the median "
        "pair's.\n"
        "Choose the seeds before the run: seeds added after a look at the p-values are another test."
    )


def _needed(key: str, many: str) -> Callable[[Line], str]:
    return lambda line: UNKNOWN if line["detectable"] is None else many if line[key] is None else f"{line[key]:,}"


def _measured(line: Line) -> str:
    if line["metric"] is None:
        return UNKNOWN
    return (
        f"{line['measured_pairs']} pairs, {line['measured_seeds']} seeds, {line['measured_examples']:,} examples "
        f"({line['measured_preset']})"
    )


def _tokens(line: Line) -> str:
    """With a star where it is an upper bound, which no data stand behind."""
    star = "*" if line["batch_tokens"] is not None and line["batch_tokens_from"] != "data" else ""
    return f"{number('batch_tokens', ',.0f').show(line)}{star}"
