"""A comparison for people and for CI: text, Markdown for a job's summary, JSON, and JUnit XML."""

from __future__ import annotations

import textwrap
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from bench.comparison.judge import Judgement, RunComparison
from bench.comparison.measures import MEASURES
from bench.comparison.rows import ALL_ROWS, RowEvent, row_label
from bench.leaderboard.rows import Row
from bench.sanitize import legal, markdown, one_line
from bench.text import text_table

WIDTH = 100
ALIGN = ("left", "left", "left", *["right"] * 5)
SUITE = "bench compare"  # the name of the JUnit test suite


def as_text(found: RunComparison) -> str:
    """For a terminal: what got worse, then what got better, then a summary of the rest."""
    blocks = [
        "\n".join(f"{'REGRESSION: ' if e.regression else ''}{event_sentence(e, found)}" for e in _by_gravity(found))
    ]
    changed = [*found.of("regression"), *found.of("improvement")]
    rows = [{"": "WORSE" if each.outcome == "regression" else "better", **cells(each, found)} for each in changed]
    blocks.append(text_table(rows, ALIGN) if rows else "")
    lines = [summary(found), *_notes(found)]
    wrapped = [textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in lines]
    return "\n\n".join([*filter(None, blocks), "\n".join(wrapped)])


def as_markdown(found: RunComparison) -> str:
    """For $GITHUB_STEP_SUMMARY: the verdict, tables of what changed, and notes."""
    mark = {"regression": "❌", "no regression": "✅", "nothing comparable": "⚠️"}[found.verdict]
    events = [f"- {'❌ ' if e.regression else ''}{markdown(event_sentence(e, found))}" for e in _by_gravity(found)]
    blocks = [f"## {mark} Benchmark: {found.verdict}", markdown(summary(found)), "\n".join(events)]
    worse, better, rest = found.of("regression"), found.of("improvement"), found.of("unsure", "unchanged")
    blocks.append(f"### Got worse\n\n{_table(worse, found)}" if worse else "")
    blocks.append(f"### Got better\n\n{_table(better, found)}" if better else "")
    blocks.append("\n".join(f"- {markdown(line)}" for line in _notes(found)))
    if rest:
        blocks.append(f"<details><summary>{len(rest)} other figures</summary>\n\n{_table(rest, found)}\n\n</details>")
    return "\n\n".join(filter(None, blocks)) + "\n"


def as_dict(found: RunComparison) -> dict[str, Any]:
    """For JSON; the keys are the CSV's columns where it has them. change and threshold are shares where `relative`."""
    same = ("base", "new", "change", "worse", "p_value", "detectable", "n_seeds", "reason")
    return {
        "verdict": found.verdict,
        "summary": summary(found),
        "noise": found.noise,
        "comparisons": [
            {
                **_names(each.row),
                "metric": each.metric,
                "quantity": each.measure.name,
                "outcome": each.outcome,
                "relative": each.measure.relative,
                "threshold": each.measure.threshold,
                **{name: getattr(each, name) for name in same},
            }
            for each in found.judgements
        ],
        "rows": [
            {**_names(e.row), "event": e.kind, "regression": e.regression, "reason": e.text} for e in found.events
        ],
    }


def as_junit(found: RunComparison) -> str:
    """A test case for each figure of each row, and one for the row's status.

    The dialect is the common one of Jenkins, GitLab and the actions that show test reports: `testsuites`, `testsuite`
    and `testcase` with `failure` or `skipped`. The document is well-formed whatever the records hold.
    """
    suite = ElementTree.Element("testsuite", name=SUITE)
    events: dict[Row, list[RowEvent]] = defaultdict(list)
    for event in found.events:
        events[event.row].append(event)
    rows = {judgement.row for judgement in found.judgements} | events.keys()
    for row in sorted(rows - {ALL_ROWS}):
        failures = [event_sentence(e, found) for e in events[row] if e.regression]
        skipped = [
            event_sentence(e, found) for e in events[row] if e.kind in ("missing", "incomparable", "interrupted")
        ]
        _test_case(suite, row, "status", " ".join(failures), " ".join(skipped))
    for judgement in found.judgements:
        text = sentence(judgement, found)
        failure, reason = (text if judgement.outcome == each else "" for each in ("regression", "not judged"))
        _test_case(suite, judgement.row, judgement.measure.name, failure, reason)
    for kind, tag in (("tests", "testcase"), ("failures", "testcase/failure"), ("skipped", "testcase/skipped")):
        suite.set(kind, str(len(suite.findall(tag))))
    suite.set("errors", "0")
    root = ElementTree.Element("testsuites", dict(suite.attrib))
    root.append(suite)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _test_case(suite: ElementTree.Element, row: Row, name: str, failure: str, skipped: str) -> None:
    """classname groups the cases of one row. Profile and preset are in it: two rows may differ in these alone."""
    group = row.group
    classname = " ".join(filter(None, (group.model, group.profile, group.budget, group.task, row.label)))
    case = ElementTree.SubElement(suite, "testcase", classname=legal(classname), name=name, time="0")
    if failure:
        ElementTree.SubElement(case, "failure", message=failure, type="regression").text = failure
    elif skipped:
        ElementTree.SubElement(case, "skipped", message=skipped).text = skipped


# Sentences and numbers; none of them holds a character that a terminal or XML may not have


def summary(found: RunComparison) -> str:
    """One line: how many of each."""
    if not found.judgements and not found.events:
        return "Nothing to compare."
    counts = Counter(judgement.outcome for judgement in found.judgements)
    worse = len(found.regressions)
    parts = [
        f"{worse} regression{'s' if worse != 1 else ''}",
        f"{counts['improvement']} improvement{'s' if counts['improvement'] != 1 else ''}",
        f"{counts['unchanged']} without a change that matters",
        f"{counts['unsure']} beyond the threshold but not beyond the noise" if counts["unsure"] else "",
        f"{counts['not judged']} not judged" if counts["not judged"] else "",
    ]
    rows = {judgement.row for judgement in found.judgements} - {ALL_ROWS}
    return f"{len(found.judgements)} figures of {len(rows)} rows: {', '.join(filter(None, parts))}."


def sentence(judgement: Judgement, of: RunComparison) -> str:
    """A judgement in one sentence."""
    shown = cells(judgement, of)
    what = f"{shown['row']}: {shown['figure'] if judgement.measure.name == 'score' else judgement.measure.name}"
    if judgement.outcome == "not judged":
        return f"{what} was not judged: {one_line(judgement.reason or 'unknown')}."
    verdict = {
        "regression": "got worse",
        "improvement": "got better",
        "unsure": "changed by more than the threshold, but not by more than the noise",
        "unchanged": "shows no change that matters",
    }[judgement.outcome]
    p_value = shown["p"] if judgement.p_value is None else f"p {shown['p']}"
    count = f"{'cell' if judgement.row == ALL_ROWS else 'seed'}{'s' if judgement.n_seeds != 1 else ''}"
    return (
        f"{what} {verdict}: from {shown['base']} to {shown['new']} ({shown['change']}; threshold {shown['limit']}; "
        f"{p_value}; {judgement.n_seeds} {count})."
    )


def event_sentence(event: RowEvent, of: RunComparison) -> str:
    return f"{one_line(row_label(event.row, of.varying))}: {one_line(event.text).rstrip('.')}."


def cells(judgement: Judgement, of: RunComparison) -> dict[str, str]:
    """A judgement as a row of a table; a dash where a number is not known, `exact` where there is no noise."""
    measure = judgement.measure

    def number(value: float | None) -> str:
        if value is None:
            return "-"
        if not measure.relative:
            return f"{value:.4f}"
        return f"{value:,.0f}" if measure.test == "exact" or abs(value) >= 100 else f"{value:,.1f}"

    change, p_value = judgement.change, judgement.p_value
    if change is not None:
        changed = f"{100 * change:+.1f} %" if measure.relative else f"{change:+.4f}"
    return {
        "row": one_line(row_label(judgement.row, of.varying)),
        "figure": one_line(judgement.metric) if measure.name == "score" and judgement.metric else measure.label,
        "base": number(judgement.base),
        "new": number(judgement.new),
        "change": "-" if change is None else changed,
        "limit": f"{100 * measure.threshold:g} %" if measure.relative else f"{measure.threshold:g}",
        "p": "exact" if p_value is None else "<0.001" if p_value < 0.001 else f"{p_value:.3f}",
    }


def _table(judgements: Iterable[Judgement], of: RunComparison) -> str:
    lines = ["| row | figure | base | new | change | limit | p |", "|---|---|--:|--:|--:|--:|--:|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(markdown, cells(each, of).values()))} |" for each in judgements)])


def _names(row: Row) -> dict[str, str]:
    return {"method": row.method, "method_params": row.variant, **row.group._asdict()}


def _by_gravity(found: RunComparison) -> list[RowEvent]:
    return sorted(found.events, key=lambda event: not event.regression)


def _notes(found: RunComparison) -> list[str]:
    """What was not judged and why, where the noise is known from, and what would have gone undetected."""
    by_reason: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in found.of("not judged"):
        by_reason[one_line(judgement.reason or "unknown")].append(judgement)
    lines = []
    for reason, judgements in sorted(by_reason.items()):
        names = ", ".join(dict.fromkeys(judgement.measure.label for judgement in judgements))
        rows = list(dict.fromkeys(one_line(row_label(judgement.row, found.varying)) for judgement in judgements))
        more = f" and {len(rows) - 2} more" if len(rows) > 2 else ""
        lines.append(f"Not judged: {reason}: {names} of {', '.join(rows[:2])}{more}.")
    return [line for line in (*lines, found.noise, detectable(found)) if line]


def detectable(found: RunComparison) -> str:
    """How large a change of the scores, and of throughput, would have been detected; empty: nothing was tested."""

    def size(value: float, relative: bool) -> str:
        if not relative:
            return f"{value:.3f}"
        return f"{100 * value:.0f} %" if value <= 1 else "over 100 %"

    parts = []
    for measure in MEASURES:
        known = [j.detectable for j in found.judgements if j.measure.name == measure.name and j.detectable is not None]
        if known:
            low, high = size(min(known), measure.relative), size(max(known), measure.relative)
            parts.append(f"{measure.label} {low}" + (f" to {high}" if low != high else ""))
    return f"The smallest change that one test alone detects with 80 % power: {'; '.join(parts)}." if parts else ""
