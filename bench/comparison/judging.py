"""Every quantity of every row that two runs share: better, worse, or not told apart; pure functions on records.

A regression is a change for the worse that is larger than the quantity's threshold and than the noise: p < 0.05, after
correction for everything that was tested in this comparison (see `_corrected`). p is one-sided: the chance of a change
at least so large in this direction if nothing had changed. So the chance of even one false alarm in a whole comparison
is held to 5 %, however many rows and quantities there are, and that of even one false improvement to another 5 %.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.comparison.conditions import obstacle, unsteady
from bench.comparison.measures import QUANTITIES, Quantity
from bench.comparison.noise import Noise, Spread, from_rows, log_ratio, ratio_test
from bench.comparison.rows import ALL_ROWS, Event, Pair, match, row_label
from bench.leaderboard.ranking import compare as compare_scores
from bench.leaderboard.rows import Row
from bench.records.machines import machine_kind
from bench.records.record import Record
from bench.stats import ALPHA
from bench.stats.multiple import holm

BLIND = 10.0  # a test that would see no smaller log ratio sees nothing

Outcome = Literal["regression", "improvement", "unsure", "unchanged", "not judged"]


@dataclass(frozen=True)
class Judgement:
    """One quantity of one row.

    outcome: "unsure" is a change that is larger than the threshold, and not than the noise.
    base, new: what is compared: means over the common seeds (geometric ones of throughput and memory), medians of
    what has no noise. change: new - base, as a share of base if the quantity is relative; None: unknown, or base is 0.
    p_value is one-sided and adjusted for all tests of the comparison; None: nothing to test, the numbers have no noise.
    detectable: the smallest change that the test alone would find four times of five, in the units of `change`.
    reason: why it was not judged.
    """

    row: Row
    quantity: Quantity
    metric: str | None
    outcome: Outcome
    threshold: float
    base: float | None = None
    new: float | None = None
    change: float | None = None
    worse: bool | None = None
    p_value: float | None = None
    n_seeds: int = 0  # of ALL_ROWS: cells
    detectable: float | None = None
    reason: str | None = None

    @property
    def label(self) -> str:
        return row_label(self.row)


@dataclass
class Report:
    """What came out of a comparison. noise: where the noise of throughput and memory is known from, in a sentence."""

    judgements: list[Judgement]
    events: list[Event]
    noise: str
    other_profiles: list[tuple[str, str]] = field(default_factory=list)

    def of(self, outcome: Outcome) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.outcome == outcome]

    @property
    def alarms(self) -> list[Event]:
        return [event for event in self.events if event.regression]

    @property
    def regressed(self) -> bool:
        return bool(self.alarms or self.of("regression"))

    @property
    def comparable(self) -> bool:
        """Whether anything was judged at all."""
        return self.regressed or any(judgement.outcome != "not judged" for judgement in self.judgements)

    @property
    def verdict(self) -> Literal["regression", "no regression", "nothing comparable"]:
        if not self.comparable:
            return "nothing comparable"
        return "regression" if self.regressed else "no regression"

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(judgement.outcome for judgement in self.judgements))


def compare(
    base: Sequence[Record],
    new: Sequence[Record],
    *,
    quantities: Sequence[Quantity] = QUANTITIES,
    noise: Noise | None = None,
    across_profiles: bool = False,
) -> Report:
    """Judge a run against another, quantity by quantity and row by row.

    noise: of the machine, from an A/A run; it counts where the runs are of its profile and kind of machine. Where
    it is not known, throughput and memory are judged by the spread over seeds against their cautious thresholds.
    """
    matched = match(base, new, across_profiles=across_profiles)
    told, noise = _usable(noise, matched.pairs)
    judgements = []
    for quantity in quantities:
        pairs = [pair for pair in matched.pairs if not (pair.extra and quantity.test != "paired")]
        judgements.extend(_of_quantity(quantity, pairs, noise))
    order = {quantity.name: at for at, quantity in enumerate(quantities)}
    judged = _corrected(sorted(judgements, key=lambda j: (j.row, order[j.quantity.name])))
    return Report(judged, matched.events, told, [] if across_profiles else matched.other_profiles)


def _usable(noise: Noise | None, pairs: Sequence[Pair]) -> tuple[str, Noise | None]:
    """Where the noise is known from, and the noise if it is that of these runs."""
    cautious = "throughput and memory are judged by the spread over seeds alone, against larger thresholds"
    if noise is None:
        return f"The noise of this machine is not known (`bench noise` measures it): {cautious}.", None
    kinds = {machine_kind(record) for pair in pairs for record in pair.new.values() if record.status == "ok"}
    profiles = {pair.row.group.profile for pair in pairs}
    if pairs and (kinds != {noise.machine} or profiles != {noise.profile}):
        where = f"{noise.machine}, profile {noise.profile}"
        return f"The noise that is known is that of other runs ({where}): {cautious}.", None
    return f"Noise: as {noise.repeats} runs of {noise.cells} cells showed it on this kind of machine.", noise


def _of_quantity(quantity: Quantity, pairs: Sequence[Pair], noise: Noise | None) -> list[Judgement]:
    known = noise.quantities.get(quantity.name) if noise else None
    if quantity.test == "log-ratio" and known is None and quantity.cautious is not None:
        quantity = replace(quantity, threshold=quantity.cautious)
    loud = unsteady(pairs) if quantity.alike == "machine" and known is None else None
    reasons = [_obstacle(quantity, pair) or loud for pair in pairs]
    clear = [pair for pair, reason in zip(pairs, reasons, strict=True) if reason is None]
    seen = from_rows([_ratios(quantity, pair) for pair in clear]) if quantity.test == "log-ratio" else None
    found = []
    for pair, reason in zip(pairs, reasons, strict=True):
        if reason is not None:
            found.append(_not_judged(quantity, pair, reason))
        elif quantity.test == "paired":
            found.append(_score(quantity, pair))
        elif quantity.test == "log-ratio":
            found.append(_ratio(quantity, pair, known, seen))
        else:
            found.append(_exact(quantity, pair))
    if known is not None and len(clear) > 1:
        found += _together(quantity, clear, known, seen)
    return found


def _together(quantity: Quantity, pairs: Sequence[Pair], known: Spread, seen: Spread | None) -> list[Judgement]:
    """All rows that can be judged as one: the mean of all their log ratios.

    Only where an A/A run has shown what whole runs differ by: nothing in a comparison tells that from a change.
    """
    values = [value for pair in pairs for value in _values(quantity, pair) if log_ratio(*value) is not None]
    found = ratio_test([ratio for pair in pairs for ratio in _ratios(quantity, pair)], known, seen)
    if found is None:
        return []
    means = (_geometric_mean([old for old, _ in values]), _geometric_mean([now for _, now in values]))
    detectable = math.expm1(found.detectable) if found.detectable < BLIND else None
    one = _judged(quantity, pairs[0], means, math.expm1(found.mean), len(values), found.p_value, detectable)
    return [replace(one, row=ALL_ROWS, metric=None)]


def _obstacle(quantity: Quantity, pair: Pair) -> str | None:
    if not pair.common:
        return "no seed ended well in both runs"
    return obstacle(quantity, pair) or (None if _values(quantity, pair) else "not known in both runs")


def _values(quantity: Quantity, pair: Pair) -> list[tuple[float, float]]:
    """(base, new) at the seeds where both are known."""
    read = [(quantity.read(pair.base[seed]), quantity.read(pair.new[seed])) for seed in pair.common]
    return [(base, new) for base, new in read if base is not None and new is not None]


def _ratios(quantity: Quantity, pair: Pair) -> list[float]:
    ratios = [log_ratio(base, new) for base, new in _values(quantity, pair)]
    return [ratio for ratio in ratios if ratio is not None]


def _higher_is_better(quantity: Quantity, pair: Pair) -> bool:
    if quantity.higher_is_better is not None:
        return quantity.higher_is_better
    known = [r.higher_is_better for r in pair.new.values() if r.higher_is_better is not None]
    return known[0] if known else True


def _metric(pair: Pair) -> str | None:
    return next((record.metric for record in pair.new.values() if record.metric), None)


def _not_judged(quantity: Quantity, pair: Pair, reason: str) -> Judgement:
    return Judgement(pair.row, quantity, _metric(pair), "not judged", quantity.threshold, reason=reason)


def _score(quantity: Quantity, pair: Pair) -> Judgement:
    base, new = ([records[seed] for seed in pair.common] for records in (pair.base, pair.new))
    metrics = {record.metric for record in (*base, *new)}
    if len(metrics) > 1:
        return _not_judged(quantity, pair, f"another metric ({' and '.join(sorted(map(str, metrics)))})")
    values = _values(quantity, pair)
    means = statistics.fmean(old for old, _ in values), statistics.fmean(now for _, now in values)
    if all(a.score == b.score and a.predictions == b.predictions for a, b in zip(base, new, strict=True)):
        # Not by chance: nothing was drawn, so there is nothing to test, or to correct the other tests for.
        return _judged(quantity, pair, means, 0.0, len(values))
    found = compare_scores(new, base)
    if found is None or found.p_value is None or found.n_seeds < 2:
        return _not_judged(quantity, pair, "one seed alone makes no claim")
    return _judged(quantity, pair, means, found.difference, found.n_seeds, found.p_value, found.minimum_detectable)


def _ratio(quantity: Quantity, pair: Pair, known: Spread | None, seen: Spread | None) -> Judgement:
    ratios = _ratios(quantity, pair)
    found = ratio_test(ratios, known, seen)
    if found is None:
        return _not_judged(quantity, pair, "one seed alone shows no noise")
    values = [(old, now) for old, now in _values(quantity, pair) if log_ratio(old, now) is not None]
    means = (_geometric_mean([old for old, _ in values]), _geometric_mean([now for _, now in values]))
    detectable = math.expm1(found.detectable) if found.detectable < BLIND else None
    return _judged(quantity, pair, means, math.expm1(found.mean), len(ratios), found.p_value, detectable)


def _exact(quantity: Quantity, pair: Pair) -> Judgement:
    values = _values(quantity, pair)
    base, new = statistics.median(old for old, _ in values), statistics.median(now for _, now in values)
    change = (new - base) / base if base else (0.0 if new == base else math.copysign(math.inf, new - base))
    return _judged(quantity, pair, (base, new), change, len(values))


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def _judged(
    quantity: Quantity,
    pair: Pair,
    values: tuple[float, float],
    change: float,
    n_seeds: int,
    p_value: float | None = None,
    detectable: float | None = None,
) -> Judgement:
    """A judgement by the threshold alone; `_corrected` adds what the noise has to say."""
    worsening = -change if _higher_is_better(quantity, pair) else change
    # Compared to a hair more: 0.82 - 0.80 is 0.02 and no more than that.
    matters = abs(change) > quantity.threshold + 1e-9
    return Judgement(
        row=pair.row,
        quantity=quantity,
        metric=_metric(pair),
        outcome="unchanged" if not matters else "regression" if worsening > 0 else "improvement",
        threshold=quantity.threshold,
        base=values[0],
        new=values[1],
        change=change if math.isfinite(change) else None,
        worse=None if not change else worsening > 0,
        p_value=p_value,
        n_seeds=n_seeds,
        detectable=detectable,
    )


def _corrected(judgements: Sequence[Judgement]) -> list[Judgement]:
    """One-sided p-values from two-sided ones, corrected for all tests; and what is within the noise called so.

    One-sided in the direction that was seen, which is half. Scores, throughput and memory of rows, and these two of
    all rows together are given a third of the 5 % each, and Holm's correction within: the few tests of the first and
    the last kind have few degrees of freedom, and would pay most dearly for the many of the other. In all it is
    still no more than 5 % (Bonferroni over three).
    """
    families: dict[str, list[int]] = defaultdict(list)
    for at, judgement in enumerate(judgements):
        if judgement.p_value is not None:
            families["together" if judgement.row == ALL_ROWS else judgement.quantity.test].append(at)
    adjusted: dict[int, float] = {}
    for members in families.values():
        corrected = holm([(judgements[at].p_value or 0.0) / 2 for at in members])
        adjusted |= {at: min(1.0, len(families) * p) for at, p in zip(members, corrected, strict=True)}
    found = []
    for at, judgement in enumerate(judgements):
        if at in adjusted:
            judgement = replace(judgement, p_value=adjusted[at])
            if judgement.outcome in ("regression", "improvement") and adjusted[at] >= ALPHA:
                judgement = replace(judgement, outcome="unsure")
        found.append(judgement)
    return found
