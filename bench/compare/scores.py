"""The test of scores. A stand-in: a t-test over seeds alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.record import Record
from bench.stats import paired_p_value


@dataclass(frozen=True)
class Comparison:
    difference: float
    ci95_low: float | None
    ci95_high: float | None
    p_value: float | None
    n_seeds: int
    n_examples: int
    minimum_detectable: float | None


def compare(first: Sequence[Record], second: Sequence[Record]) -> Comparison:
    one, two = ({r.cell.seed: r.score for r in rs if r.score is not None} for rs in (first, second))
    common = one.keys() & two.keys()
    p = paired_p_value(one, two) if len(common) > 1 else None
    mean = statistics.fmean(one[s] - two[s] for s in common)
    return Comparison(mean, None, None, p, len(common), 0, None)
