"""A comparison in sentences and numbers for people; every format uses these words."""

from __future__ import annotations

from collections import defaultdict

from bench.comparison.judging import Judgement, Report
from bench.comparison.measures import QUANTITIES
from bench.comparison.rows import ALL_ROWS, Event
from bench.sanitize import one_line


def label(found: Judgement | Event) -> str:
    return one_line(found.label)


def quantity(judgement: Judgement) -> str:
    """What the quantity is called in a table: a score by its metric."""
    if judgement.quantity.name == "score" and judgement.metric:
        return one_line(judgement.metric)
    return judgement.quantity.label


def number(judgement: Judgement, value: float | None) -> str:
    """A value of this quantity; a dash where it is not known."""
    if value is None:
        return "-"
    if not judgement.quantity.relative:
        return f"{value:.4f}"
    return f"{value:,.0f}" if judgement.quantity.test == "exact" or abs(value) >= 100 else f"{value:,.1f}"


def change(judgement: Judgement) -> str:
    """`-0.0825` of a score, `-23.1 %` of the rest; a dash where it is not known."""
    if judgement.change is None:
        return "-"
    return f"{100 * judgement.change:+.1f} %" if judgement.quantity.relative else f"{judgement.change:+.4f}"


def threshold(judgement: Judgement) -> str:
    value = judgement.threshold
    return f"{100 * value:g} %" if judgement.quantity.relative else f"{value:g}"


def p_value(judgement: Judgement) -> str:
    """The adjusted p; `exact` where there was no chance in it."""
    if judgement.p_value is None:
        return "exact"
    return "<0.001" if judgement.p_value < 0.001 else f"{judgement.p_value:.3f}"


def sentence(judgement: Judgement) -> str:
    """What became of the quantity, in one sentence."""
    what = (
        f"{label(judgement)}: {quantity(judgement) if judgement.quantity.name == 'score' else judgement.quantity.name}"
    )
    if judgement.outcome == "not judged":
        return f"{what} was not judged: {one_line(judgement.reason or 'unknown')}."
    values = f"from {number(judgement, judgement.base)} to {number(judgement, judgement.new)}"
    sure = p_value(judgement) if judgement.p_value is None else f"p {p_value(judgement)}"
    count = "cell" if judgement.row == ALL_ROWS else "seed"
    seeds = f"{judgement.n_seeds} {count}{'s' if judgement.n_seeds != 1 else ''}"
    verdict = {
        "regression": "got worse",
        "improvement": "got better",
        "unsure": "changed by more than the threshold, but not by more than the noise",
        "unchanged": "shows no change that matters",
    }[judgement.outcome]
    return f"{what} {verdict}: {values} ({change(judgement)}; threshold {threshold(judgement)}; {sure}; {seeds})."


def event_sentence(event: Event) -> str:
    return f"{label(event)}: {one_line(event.text).rstrip('.')}."


def not_judged(report: Report) -> list[str]:
    """What was not judged and why, a sentence a reason."""
    by_reason: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in report.of("not judged"):
        by_reason[one_line(judgement.reason or "unknown")].append(judgement)
    lines = []
    for reason, judgements in sorted(by_reason.items()):
        names = ", ".join(dict.fromkeys(j.quantity.label for j in judgements))
        rows = list(dict.fromkeys(label(j) for j in judgements))
        where = f"{', '.join(rows[:2])}" + (f" and {len(rows) - 2} more" if len(rows) > 2 else "")
        lines.append(f"not judged: {reason}: {names} of {where}")
    return lines


def summary(report: Report) -> str:
    """One line: how many of each."""
    if not report.judgements and not report.events:
        return "Nothing to compare."
    counts = report.counts
    worse, better = counts.get("regression", 0), counts.get("improvement", 0)
    parts = [
        f"{worse + len(report.alarms)} regression{'s' if worse + len(report.alarms) != 1 else ''}",
        f"{better} improvement{'s' if better != 1 else ''}",
        f"{counts.get('unchanged', 0)} without a change that matters",
    ]
    if counts.get("unsure"):
        parts.append(f"{counts['unsure']} beyond the threshold but not beyond the noise")
    if counts.get("not judged"):
        parts.append(f"{counts['not judged']} not judged")
    rows = {judgement.row for judgement in report.judgements} - {ALL_ROWS}
    return f"{len(report.judgements)} figures of {len(rows)} rows: {', '.join(parts)}."


def blind_spot(report: Report) -> str | None:
    """How large a change of the scores, and of throughput, would have gone unseen; None: nothing was tested."""
    seen: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in report.judgements:
        if judgement.detectable is not None:
            seen[judgement.quantity.label].append(judgement)
    parts = []
    order = [quantity.label for quantity in QUANTITIES]
    for name, judgements in sorted(seen.items(), key=lambda item: order.index(item[0])):
        least = min(j.detectable for j in judgements if j.detectable is not None)
        most = max(j.detectable for j in judgements if j.detectable is not None)
        low, high = (_size(judgements[0], value) for value in (least, most))
        parts.append(f"{name} {low}" + (f" to {high}" if low != high else ""))
    if not parts:
        return None
    return f"The smallest change that one test alone finds four times of five: {'; '.join(parts)}."


def _size(judgement: Judgement, value: float) -> str:
    if not judgement.quantity.relative:
        return f"{value:.3f}"
    return f"{100 * value:.0f} %" if value <= 1 else "over 100 %"


def other_profiles(report: Report) -> str | None:
    if not report.other_profiles:
        return None
    pairs = ", ".join(f"{one_line(base)} and {one_line(new)}" for base, new in report.other_profiles)
    return f"Rows that differ in the profile alone ({pairs}) were left out; --across-profiles compares what it can."
