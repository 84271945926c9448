"""How values are written for people. Whatever comes from plugins, data and tracebacks is shown as the text it is."""

from __future__ import annotations

import math
from typing import Any

UNKNOWN = "–"
# Chosen and not measured: shown as they were chosen.
SETTINGS = {"learning_rate", "head_learning_rate", "epochs", "weight_decay", "dropout", "warmup_ratio", "max_grad_norm"}

# What has no shape of its own, or moves the text around it: shown by a picture or by its number.
_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {127: "\u2421"}
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_INVISIBLE = (*range(0x80, 0xA0), 0xAD, 0x200B, 0x2028, 0x2029, 0x2060, 0xFEFF, *_DIRECTIONS)
_SHOWN = _PICTURES | {code: f"⟨U+{code:04X}⟩" for code in _INVISIBLE}


def visible(text: str) -> str:
    """The text with control characters and marks of direction made visible; half characters become U+FFFD.

    A name may hold a mark that turns the rest of a line around, and a traceback the codes that colour a terminal.
    """
    whole = text.replace("\r\n", "\n").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.translate(_SHOWN)


def number(value: float | int, key: str = "") -> str:
    """A number as people read it: whole ones in full, scores to four places, others to three digits or more.

    key: the column's name, which says what kind of number it is.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _digits(value, key).replace("-", "−")  # a minus is as wide as a plus; exponents have one too


def _digits(value: float | int, key: str) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return UNKNOWN
    if key in SETTINGS:
        return f"{value:g}"
    if key.startswith("p_") or key.endswith("_p"):  # a p-value is never 0, and has no more digits than mean something
        return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
    if "score" in key or key in ("difference", "ci95_low", "ci95_high", "minimum_detectable", "pscp"):
        return f"{value:.4f}"
    if "rank" in key or key == "critical_difference":
        return f"{value:.2f}"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 0.0001:
        return f"{value:.1e}"
    # Three digits that count, and no exponent: 0.0203, 1.38, 32.3
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def shown(value: Any, key: str = "") -> str:
    """Any value of a table; unknown is a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return UNKNOWN
    if isinstance(value, bool | int | float):
        return number(value, key)
    return visible(str(value))


def with_interval(mean: float | None, low: float | None, high: float | None) -> str:
    """A mean with half of its interval, `0.7967 ± 0.0318`; the mean alone where there is no interval."""
    if mean is None:
        return UNKNOWN
    if low is None or high is None:
        return f"{mean:.4f}"
    return f"{mean:.4f} ± {(high - low) / 2:.4f}"


def listed(names: list[str], most: int = 8) -> str:
    """Names joined by commas; of many the first ones, and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "") if names else "none"
