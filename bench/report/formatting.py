"""How values, columns and methods are shown. Text from plugins, data and tracebacks is shown literally."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bench.leaderboard.layout import p_text

UNKNOWN = "–"
FLAG = "†"  # beside a method with trainings that are no better than a constant answer
LABELS = {
    "score": "Score ± SD over seeds",
    "score_mean": "Mean score",
    "to_best": "Difference to the best, 95 % CI",
    "to_against": "Difference to the chosen method, 95 % CI",
    "letters": "Letters",
    "gain_percent": "Gain, %",
    "n_not_worse_than_best": "Not worse, tasks",
    "adapter_bytes": "Adapter, bytes",
    "rank_group": "Rank group",
    "n_seeds": "Seeds",
    "n_failed": "Failed",
    "n_collapsed": "Collapsed",
    "n_examples": "Examples",
    "n_tasks": "Tasks",
    "n_cells": "Cells",
    "trainable_share_percent": "Share, %",
    "trainable_params": "Trained",
    "peak_train_memory_mib": "Peak memory, MiB",
    "train_examples_per_second": "Examples/s",
    "train_seconds": "Training, s",
    "p_holm": "p, Holm",
    "p_value": "p",
    "friedman_p": "p, Friedman",
    "method_a": "Better (a)",
    "method_b": "Other (b)",
    "minimum_detectable": "Detectable",
}
UNITS = {"_percent": ", %", "_mib": ", MiB", "_ms": ", ms", "_seconds": ", s", "_bytes": ", bytes", "_per_second": "/s"}
# Chosen and not measured: shown as they were chosen.
SETTINGS = {
    "learning_rate", "head_learning_rate", "epochs", "weight_decay", "dropout", "warmup_ratio", "max_grad_norm",
    "adam_epsilon",
}  # fmt: skip

FINE = {"difference", "ci95_low", "ci95_high", "minimum_detectable", "minimum_detectable_holm"}  # with four digits

# Characters that are invisible or change the direction of text: shown by a picture or by their code point.
_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {127: "\u2421"}
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_INVISIBLE = (*range(0x80, 0xA0), 0xAD, 0x200B, 0x2028, 0x2029, 0x2060, 0xFEFF, *_DIRECTIONS)
_SHOWN = _PICTURES | {code: f"⟨U+{code:04X}⟩" for code in _INVISIBLE}

COLOURS = 7  # the custom properties --c0 to --c6 of report.css, one set for each theme
# SVG paths within [-1, 1]. Seven colours and eight shapes give 56 methods a style of their own.
SHAPES = (
    "M0.85,0A0.85,0.85,0,1,1,-0.85,0A0.85,0.85,0,1,1,0.85,0Z",
    "M-0.75,-0.75H0.75V0.75H-0.75Z",
    "M0,-1L0.95,0.75L-0.95,0.75Z",
    "M0,-1L0.85,0L0,1L-0.85,0Z",
    "M-0.32,-0.95H0.32V-0.32H0.95V0.32H0.32V0.95H-0.32V0.32H-0.95V-0.32H-0.32Z",
    "M0,1L0.95,-0.75L-0.95,-0.75Z",
    "M0,-1L0.27,-0.37L0.95,-0.31L0.43,0.14L0.59,0.81L0,0.45L-0.59,0.81L-0.43,0.14L-0.95,-0.31L-0.27,-0.37Z",
    "M-0.95,-0.6L-0.6,-0.95L0,-0.35L0.6,-0.95L0.95,-0.6L0.35,0L0.95,0.6L0.6,0.95L0,0.35L-0.6,0.95L-0.95,0.6L-0.35,0Z",
)


class Style(NamedTuple):
    """A method's colour and shape, by their numbers; the same in all tables and charts."""

    colour: int
    shape: int


def assign_styles(labels: Iterable[str]) -> dict[str, Style]:
    """A style for each method's label, in alphabetical order, so that the order of records does not matter."""
    ordered = sorted(set(labels))
    return {label: Style(at % COLOURS, at % len(SHAPES)) for at, label in enumerate(ordered)}


def column_label(key: str) -> str:
    """A column's name for people; that of a task is `task NAME`."""
    if key.startswith("task "):
        return visible(key.removeprefix("task "))
    if key in LABELS:
        return LABELS[key]
    for end, unit in UNITS.items():
        if key.endswith(end):
            key = key.removesuffix(end) + unit
    words = key.replace("ci95", "95 % CI").replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def visible(text: str) -> str:
    """The text with control characters and direction marks made visible; lone surrogates become U+FFFD."""
    whole = text.replace("\r\n", "\n").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.translate(_SHOWN)


def shown(value: Any, key: str = "") -> str:
    """A value of a table; unknown is a dash. key: the column's name, which determines the number of digits."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _digits(value, key).replace("-", "−")  # a minus sign is as wide as a plus
    return visible(str(value))


def _digits(value: float | int, key: str) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if key in SETTINGS:
        return f"{value:g}"
    if key.startswith("p_") or key.endswith("_p"):  # a p-value is never 0
        return p_text(value)
    if key == "prose":
        return f"{value:.3f}"
    if "score" in key or "difference_to" in key or key in FINE:
        return f"{value:.4f}"
    if "rank" in key or key == "critical_difference":
        return f"{value:.2f}"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 0.0001:
        return f"{value:.1e}"
    # Three significant digits without an exponent: 0.0203, 1.38, 32.3
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def listed(names: Sequence[str], limit: int = 8) -> str:
    """Names joined by commas; if there are many, the first ones and how many more."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "") if names else "none"
