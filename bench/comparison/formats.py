"""A comparison as text for a terminal, as Markdown for a job's summary, as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from bench.comparison import messages
from bench.comparison.judging import Judgement, Outcome, Report
from bench.leaderboard.rows import Row
from bench.sanitize import markdown
from bench.text import text_table

SHOWN: tuple[Outcome, ...] = ("regression", "improvement")
WIDTH = 100
ALIGN = ("left", "left", "left", *["right"] * 5)


def text(report: Report) -> str:
    """What got worse, then what got better, then a summary of the rest; for a terminal."""
    parts = []
    for event in sorted(report.events, key=lambda e: not e.regression):
        parts.append(f"{'REGRESSION: ' if event.regression else ''}{messages.event_sentence(event)}")
    blocks = ["\n".join(parts)] if parts else []
    rows = [_cells(judgement) for outcome in SHOWN for judgement in report.of(outcome)]
    if rows:
        blocks.append(text_table(rows, ALIGN))
    rest = [messages.summary(report), *map(_capital, messages.not_judged(report)), report.noise]
    rest += [line for line in (messages.blind_spot(report), messages.other_profiles(report)) if line]
    return "\n\n".join([*blocks, "\n".join(_wrapped(line) for line in rest)])


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False)


def as_markdown(report: Report) -> str:
    """For $GITHUB_STEP_SUMMARY: the verdict, tables of what changed, and what else there is to know."""
    mark = {"regression": "❌", "no regression": "✅", "nothing comparable": "⚠️"}[report.verdict]
    blocks = [f"## {mark} Benchmark: {report.verdict}", markdown(messages.summary(report))]
    if report.events:
        lines = sorted(report.events, key=lambda e: not e.regression)
        blocks.append(
            "\n".join(f"- {'❌ ' if e.regression else ''}{markdown(messages.event_sentence(e))}" for e in lines)
        )
    for title, outcome in (("Got worse", "regression"), ("Got better", "improvement")):
        found = [judgement for judgement in report.judgements if judgement.outcome == outcome]
        if found:
            blocks.append(f"### {title}\n\n{_table(found)}")
    rest = [*map(_capital, messages.not_judged(report)), report.noise]
    rest += [line for line in (messages.blind_spot(report), messages.other_profiles(report)) if line]
    blocks.append("\n".join(f"- {markdown(line)}" for line in rest))
    quiet = [j for j in report.judgements if j.outcome in ("unsure", "unchanged")]
    if quiet:
        blocks.append(f"<details><summary>{len(quiet)} other figures</summary>\n\n{_table(quiet)}\n\n</details>")
    return "\n\n".join(blocks) + "\n"


def as_dict(report: Report) -> dict[str, Any]:
    """JSON-able; the keys are the CSV's columns where it has them. change and threshold are shares where `relative`."""
    return {
        "verdict": report.verdict,
        "summary": messages.summary(report),
        "noise": report.noise,
        "comparisons": [_judgement(judgement) for judgement in report.judgements],
        "rows": [{**_row(e.row), "event": e.what, "regression": e.regression, "reason": e.text} for e in report.events],
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        **_row(judgement.row),
        "metric": judgement.metric,
        "quantity": judgement.quantity.name,
        "outcome": judgement.outcome,
        "base": judgement.base,
        "new": judgement.new,
        "change": judgement.change,
        "relative": judgement.quantity.relative,
        "worse": judgement.worse,
        "threshold": judgement.threshold,
        "p_value": judgement.p_value,
        "detectable": judgement.detectable,
        "n_seeds": judgement.n_seeds,
        "reason": judgement.reason,
    }


def _row(row: Row) -> dict[str, str]:
    return {"method": row.method, "method_params": row.variant, **row.group._asdict()}


def _cells(judgement: Judgement) -> dict[str, str]:
    return {
        "": "WORSE" if judgement.outcome == "regression" else "better",
        "row": messages.label(judgement),
        "figure": messages.quantity(judgement),
        "base": messages.number(judgement, judgement.base),
        "new": messages.number(judgement, judgement.new),
        "change": messages.change(judgement),
        "limit": messages.threshold(judgement),
        "p": messages.p_value(judgement),
    }


def _table(judgements: Sequence[Judgement]) -> str:
    rows = [[*_cells(judgement).values()][1:] for judgement in judgements]
    lines = ["| row | figure | base | new | change | limit | p |", "|---|---|--:|--:|--:|--:|--:|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(markdown, row))} |" for row in rows)])


def _capital(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."
