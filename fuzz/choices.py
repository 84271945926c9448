"""Bytes read as decisions, so that a fuzzer which knows bytes alone can build records that are almost right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

# What has broken readers before: types that pass for others, numbers at an edge, texts that are more than text.
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 10**15, 2**31, 2**63 - 1, 2**63, 10**40, -(10**40), 0.0, -0.0, 0.5, -2.5, 1e-320,
    1e38, 1e39, 1e40, 1e300, float("inf"), float("nan"), "", "0", "nan", "a", "head", "lora", "ok", "error",
    "oom", "skipped", "interrupted", "accuracy", "f1", "matthews", "entity_f1", "spearman", "pearson_spearman_mean",
    "f1_accuracy_mean", "=1+1", "\x1b[31m", "\u202eevil", "a\nb", "\x00", "\ud800", "<script>", "&", "../../x", "/",
    "a/b", "x" * 2000, [], [0], [1, 2, 3], [0, 1, 1, 0, 1], [0.5, 1.5, 2.5, 0.1, 7.0], [[0, 1], [1], [0], [], [1, 0]],
    ["a", {}], [None] * 5, [[]], {}, {"a": 1}, {"a": {"b": [1]}}, {"gpus": "x"}, {"matthews": 1e38}, {"total": -1.0},
)  # fmt: skip


class Choices:
    """Takes decisions from bytes, in order; where they end, every decision is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included; of two bytes where one does not do."""
        size = 1 if high - low < 256 else 2
        taken = self._data[self._at : self._at + size]
        self._at += size
        return low + int.from_bytes(taken, "big") % (high - low + 1)

    def one_of(self, values: Sequence[T]) -> T:
        return values[self.number(0, len(values) - 1)]


def altered(value: Any, choices: Choices) -> Any:
    """A JSON value with one part, anywhere in it, replaced, left out, doubled or added."""
    if isinstance(value, dict) and value and choices.number(0, 15):
        key = choices.one_of(sorted(value, key=str))
        what = choices.number(0, 15)
        if what == 0:
            return {name: each for name, each in value.items() if name != key}
        if what == 1:
            return {**value, str(choices.one_of(ODD))[:40]: value[key]}
        return {**value, key: altered(value[key], choices)}
    if isinstance(value, list) and value and choices.number(0, 3):
        at = choices.number(0, len(value) - 1)
        what = choices.number(0, 7)
        if what == 0:
            return value[:at] + value[at + 1 :]
        if what == 1:
            return [*value, *value]
        return [*value[:at], altered(value[at], choices), *value[at + 1 :]]
    return choices.one_of(ODD)
