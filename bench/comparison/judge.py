"""Every measure of every row that two runs share is judged: worse, better or unchanged. Pure functions on records.

A regression is a change for the worse that is larger than the measure's threshold and than the noise: p < 0.05, after
correction for everything that was tested in this comparison (see `_corrected`). p is one-sided: the chance of a change
at least that large in this direction if nothing had changed. So the chance of even one false alarm in a whole
comparison is at most 5 %, however many rows and measures there are, and that of a false improvement another 5 %.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from bench.comparison.measures import MEASURES, Measure
from bench.comparison.noise import Noise, Spread, log_ratio, ratio_test, spread_over_seeds
from bench.comparison.rows import ALL_ROWS, Across, RowEvent, RowPair, match_rows
from bench.leaderboard.ranking import compare_rows
from bench.leaderboard.rows import Group, Row
from bench.records.machines import machine_kind
from bench.records.record import Record
from bench.stats import ALPHA
from bench.stats.multiple import holm

MACHINE_TOLERANCE = 0.15  # how much a machine's own speed may differ before throughput says nothing about the code
UNDETECTABLE = 10.0  # a test that detects no smaller log ratio detects nothing

JudgementOutcome = Literal["regression", "improvement", "unsure", "unchanged", "not judged"]


@dataclass(frozen=True)
class Judgement:
    """One measure of one row.

    outcome: "unsure" is a change that is larger than the threshold, and not than the noise. base, new: means over the
    common seeds (geometric means of throughput and memory), medians of what has no noise. change: new - base, as a
    share of base if the measure is relative; None: unknown, or base is 0. p_value: one-sided and adjusted for all tests
    of the comparison; None: not tested, the numbers have no noise. n_seeds: for ALL_ROWS it counts cells. detectable:
    the smallest change that the test detects with 80 % power, in the units of `change`. reason: why it was not judged.
    """

    row: Row
    measure: Measure
    metric: str | None
    outcome: JudgementOutcome
    base: float | None = None
    new: float | None = None
    change: float | None = None
    worse: bool | None = None
    p_value: float | None = None
    n_seeds: int = 0
    detectable: float | None = None
    reason: str | None = None


@dataclass
class RunComparison:
    """Two runs compared. noise: where the noise of throughput and memory is known from, in a sentence."""

    judgements: list[Judgement]
    events: list[RowEvent]
    noise: str

    def of(self, *outcomes: JudgementOutcome) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.outcome in outcomes]

    @property
    def regressions(self) -> list[Judgement | RowEvent]:
        return [*(event for event in self.events if event.regression), *self.of("regression")]

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """What of a row's group, beside the task, is not the same in all rows."""
        rows = {judgement.row for judgement in self.judgements} | {event.row for event in self.events}
        groups = {row.group for row in rows - {ALL_ROWS}}
        return tuple(name for name in Group._fields[1:] if len({getattr(group, name) for group in groups}) > 1)

    @property
    def verdict(self) -> Literal["regression", "no regression", "nothing comparable"]:
        if self.regressions:
            return "regression"
        return "no regression" if self.of("improvement", "unsure", "unchanged") else "nothing comparable"


def compare_runs(
    base: Sequence[Record],
    new: Sequence[Record],
    *,
    measures: Sequence[Measure] = MEASURES,
    noise: Noise | None = None,
    across: Across = frozenset(),
) -> RunComparison:
    """Judge a run against another, measure by measure and row by row.

    noise: of the machine, from an A/A run; it is used if the runs are of its profile and kind of machine. Otherwise
    throughput and memory are judged by the spread over seeds, against their cautious thresholds. across: see
    `match_rows`.
    """
    pairs, events = match_rows(base, new, across=across)
    sentence, noise = _usable(noise, pairs)
    judgements: list[Judgement] = []
    for measure in measures:
        with_costs = [pair for pair in pairs if measure.test == "paired" or not pair.row.is_extra]
        judgements += _judge(measure, with_costs, noise.quantities.get(measure.name) if noise else None)
    order = [measure.name for measure in measures]
    judgements.sort(key=lambda judgement: (judgement.row, order.index(judgement.measure.name)))
    return RunComparison(_corrected(judgements), events, sentence)


def _usable(noise: Noise | None, pairs: Sequence[RowPair]) -> tuple[str, Noise | None]:
    """Where the noise is known from, and the noise if it is that of these runs."""
    cautious = "throughput and memory are judged by the spread over seeds alone, against larger thresholds"
    if noise is None:
        return f"The noise of this machine is not known (`bench noise` measures it): {cautious}.", None
    kinds = {machine_kind(record) for pair in pairs for record in pair.new.values() if record.status == "ok"}
    profiles = {pair.row.group.profile for pair in pairs}
    if pairs and (kinds != {noise.machine} or profiles != {noise.profile}):
        where = f"{noise.machine}, profile {noise.profile}"
        return f"The known noise is that of other runs ({where}): {cautious}.", None
    return f"Noise: measured by {noise.repeats} runs of {noise.cells} cells on this kind of machine.", noise


# One measure

Values = list[tuple[float, float]]  # base and new, at the seeds where both are known


class Figures(NamedTuple):
    """What a test of one row found; see `Judgement`. p_value: two-sided and not corrected yet."""

    base: float
    new: float
    change: float
    n_seeds: int
    p_value: float | None = None
    detectable: float | None = None


def _judge(measure: Measure, pairs: Sequence[RowPair], known: Spread | None) -> list[Judgement]:
    """Every row, and all rows together; known: the noise of the measure."""
    if known is None and measure.cautious is not None:
        measure = replace(measure, threshold=measure.cautious)
    unsteady = _unsteady(pairs) if measure.same == "machine" and known is None else None
    values = [_values(measure, pair) for pair in pairs]
    reasons = [_incomparable(measure, pair, each) or unsteady for pair, each in zip(pairs, values, strict=True)]
    judged = [each for each, reason in zip(values, reasons, strict=True) if reason is None]
    seen = spread_over_seeds([_log_ratios(each) for each in judged])

    def figures(pair: RowPair, values: Values) -> Figures | str:
        if measure.test == "paired":
            return _paired(pair, values)
        return _against_noise(values, known, seen) if measure.test == "log-ratio" else _exact(values)

    found = []
    for pair, each, reason in zip(pairs, values, reasons, strict=True):
        metric = next((record.metric for record in pair.new.values() if record.metric), None)
        found.append(_judgement(measure, pair.row, metric, reason or figures(pair, each), _higher_is_better(pair)))
    # Only an A/A run shows what whole runs differ by: nothing in a comparison distinguishes that from a change.
    if known is not None and len(judged) > 1:
        together = _against_noise([value for each in judged for value in each], known, seen)
        found += [] if isinstance(together, str) else [_judgement(measure, ALL_ROWS, None, together)]
    return found


def _values(measure: Measure, pair: RowPair) -> Values:
    read = [(measure.read(pair.base[seed]), measure.read(pair.new[seed])) for seed in pair.common]
    return [(base, new) for base, new in read if base is not None and new is not None]


def _log_ratios(values: Values) -> list[float]:
    return [ratio for base, new in values if (ratio := log_ratio(base, new)) is not None]


def _higher_is_better(pair: RowPair) -> bool:
    return next((r.higher_is_better for r in pair.new.values() if r.higher_is_better is not None), True)


def _paired(pair: RowPair, values: Values) -> Figures | str:
    """Scores, by seed and by example."""
    base, new = ([records[seed] for seed in pair.common] for records in (pair.base, pair.new))
    metrics = {record.metric for record in (*base, *new)}
    if len(metrics) > 1:
        return f"the metrics differ ({' and '.join(sorted(map(str, metrics)))})"
    means = statistics.fmean(old for old, _ in values), statistics.fmean(now for _, now in values)
    if all(a.score == b.score and a.predictions == b.predictions for a, b in zip(base, new, strict=True)):
        # Not by chance: nothing was drawn, so there is nothing to test, or to correct the other tests for.
        return Figures(*means, 0.0, len(values))
    found = compare_rows(new, base)
    if found is None or found.p_value is None or found.n_seeds < 2:
        return "one seed alone allows no claim"
    return Figures(*means, found.difference, found.n_seeds, found.p_value, found.minimum_detectable)


def _against_noise(values: Values, known: Spread | None, seen: Spread | None) -> Figures | str:
    """Throughput and memory, against the noise."""
    ratios = _log_ratios(values)
    found = ratio_test(ratios, known, seen)
    if found is None:
        return "one seed alone shows no noise"
    positive = [each for each in values if min(each) > 0]
    base, new = (math.exp(statistics.fmean(map(math.log, side))) for side in zip(*positive, strict=True))
    detectable = math.expm1(found.detectable) if found.detectable < UNDETECTABLE else None
    return Figures(base, new, math.expm1(found.mean), len(ratios), found.p_value, detectable)


def _exact(values: Values) -> Figures:
    base, new = statistics.median(old for old, _ in values), statistics.median(now for _, now in values)
    change = (new - base) / base if base else (0.0 if new == base else math.copysign(math.inf, new - base))
    return Figures(base, new, change, len(values))


def _judgement(
    measure: Measure, row: Row, metric: str | None, found: Figures | str, higher_is_better: bool = True
) -> Judgement:
    """A judgement by the threshold alone, or why there is none; `_corrected` takes the noise into account."""
    if isinstance(found, str):
        return Judgement(row, measure, metric, "not judged", reason=found)
    if measure.higher_is_better is not None:
        higher_is_better = measure.higher_is_better
    worse = found.change < 0 if higher_is_better else found.change > 0
    # Compared to a hair more: 0.82 - 0.80 is 0.02 and no more than that.
    matters = abs(found.change) > measure.threshold + 1e-9
    outcome: JudgementOutcome = "unchanged" if not matters else "regression" if worse else "improvement"
    figures = found._asdict() | ({} if math.isfinite(found.change) else {"change": None})
    return Judgement(row, measure, metric, outcome, worse=worse if found.change else None, **figures)


def _corrected(judgements: Sequence[Judgement]) -> list[Judgement]:
    """One-sided p-values from two-sided ones, corrected for all tests, and what is within the noise as "unsure".

    One-sided in the direction that was seen, which is half. Scores, throughput and memory of rows, and these two of
    all rows together are given a third of the 5 % each, with Holm's correction within: the few tests of the first and
    the last kind have few degrees of freedom, and would suffer most from the many tests of the other. In all it is
    still no more than 5 % (Bonferroni over three).
    """
    families: dict[str, list[int]] = defaultdict(list)
    for at, judgement in enumerate(judgements):
        if judgement.p_value is not None:
            families["together" if judgement.row == ALL_ROWS else judgement.measure.test].append(at)
    found = list(judgements)
    for members in families.values():
        corrected = holm([(judgements[at].p_value or 0.0) / 2 for at in members])
        for at, p_value in zip(members, corrected, strict=True):
            p_value, outcome = min(1.0, len(families) * p_value), judgements[at].outcome
            unsure = outcome in ("regression", "improvement") and p_value >= ALPHA
            found[at] = replace(judgements[at], p_value=p_value, outcome="unsure" if unsure else outcome)
    return found


# Whether two figures are comparable


def _incomparable(measure: Measure, pair: RowPair, values: Values) -> str | None:
    """Why a measure of a row cannot be judged; None: it can."""
    if not pair.common:
        return "no seed finished in both runs"
    if measure.test == "log-ratio" and not pair.same_profile:
        return "other profile"
    reason = None
    if measure.same == "machine":
        reason = _other_machine(pair) or _other_speed(pair)
    elif measure.same == "memory":
        reason = _other_memory(pair)
    return reason or (None if values else "not known in both runs")


def _machine_ratio(pair: RowPair) -> float | None:
    """How fast the machine itself was, new over base, by the probe beside each cell; None: it was not measured.

    The geometric mean over the common seeds, as the row's throughput is averaged.
    """
    speeds = [(pair.base[seed].speed, pair.new[seed].speed) for seed in pair.common]
    ratios = [log_ratio(base.machine_gflops, new.machine_gflops) for base, new in speeds if base and new]
    known = [ratio for ratio in ratios if ratio is not None]
    return math.exp(sum(known) / len(known)) if known else None


def _tolerable(ratio: float) -> bool:
    return abs(math.log(ratio)) <= math.log(1 + MACHINE_TOLERANCE)


def _unsteady(pairs: Iterable[RowPair]) -> str | None:
    """Why no throughput can be judged where the noise is known only from the spread over seeds; None: it can.

    A probe takes a tenth of a second beside a cell of many, on one core. Where the probes of some rows say that the
    machine was not as fast as before, something else used it, which the probes of other rows may have missed.
    """
    ratios = [ratio for pair in pairs if (ratio := _machine_ratio(pair)) is not None]
    if all(map(_tolerable, ratios)):
        return None
    return f"the machine was unsteady, at {min(ratios):.2f} to {max(ratios):.2f} of its former speed"


def _other_speed(pair: RowPair) -> str | None:
    ratio = _machine_ratio(pair)
    return None if ratio is None or _tolerable(ratio) else f"the machine itself ran at {ratio:.2f} of its former speed"


def _other_machine(pair: RowPair) -> str | None:
    base, new = ({machine_kind(records[seed]) for seed in pair.common} for records in (pair.base, pair.new))
    if None in base | new:
        return "the machine is not recorded"
    return None if base == new else f"other machine ({_listed(base)}; {_listed(new)})"


def _other_memory(pair: RowPair) -> str | None:
    memories = ([records[seed].memory for seed in pair.common] for records in (pair.base, pair.new))
    base, new = ({memory.kind for memory in each if memory} for each in memories)
    if None in base | new or not base or not new:
        return "memory was not measured"
    return None if base == new else f"memory measured in another way ({_listed(base)}; {_listed(new)})"


def _listed(kinds: Iterable[object]) -> str:
    return " and ".join(sorted(map(str, kinds)))
