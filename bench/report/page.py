"""The page itself: the template filled, with scripts and styles inline, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from bench.errors import UsageError
from bench.leaderboard.rows import current
from bench.records.record import Record
from bench.report.contents import contents
from bench.report.rates import rates_svg
from bench.report.templates import environment, file


def render(
    records: Iterable[Record], trials: Iterable[Mapping[str, Any]] | None = None, against: str | None = None
) -> str:
    """The report of these records as HTML; the same records in any order give the same text.

    Args:
        trials: lines of a trials.csv of `tune`, which the page then shows.
        against: a method that the methods over all tasks are compared with, too.

    Raises:
        UsageError: if there are no records, or none of `against`, or `trials` are none.
    """
    ordered = sorted(current(records), key=lambda record: (record.cell.label, record.cell.seed, record.id))
    if not ordered:
        raise UsageError("There are no records to report on.")
    style, scripts = file("report.css") + file("charts.css"), [file("report.js")]
    page = (
        environment()
        .get_template("template.html.j2")
        .render(
            contents=contents(ordered, against),
            rates=None if trials is None else _rates(trials),
            policy=_policy(style, scripts),
            # Our own text, checked below; everything else on the page is escaped.
            style=_inline(style, "</style"),
            scripts=[_inline(script, "</script") for script in scripts],
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def _rates(trials: Iterable[Mapping[str, Any]]) -> Markup:
    try:
        drawn = rates_svg(trials)
    except (KeyError, TypeError, ValueError):
        drawn = None
    if drawn is None:
        raise UsageError("There are no trials of `tune`: no lines, a column is missing, or a value is not a number.")
    return Markup(drawn)  # its own template has escaped what is in it


def _policy(style: str, scripts: list[str]) -> str:
    """A Content-Security-Policy: only these scripts and styles, and nothing is loaded from anywhere."""
    allowed = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; img-src data: blob:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inline(text: str, end: str) -> Markup:
    """The text, unescaped, if it neither ends its element nor opens a comment."""
    if end in text.lower() or "<!--" in text or "\r" in text or "\0" in text:
        raise ValueError(f"a script or style with {end} or <!-- in it cannot be put into a page")
    return Markup(text)
