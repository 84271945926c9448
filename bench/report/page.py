"""The page itself: the template filled, with scripts and styles inline, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import resources

import altair
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.errors import UsageError
from bench.leaderboard.rows import current
from bench.records.record import Record
from bench.report.contents import contents


def render(records: Iterable[Record]) -> str:
    """The report of these records as HTML; the same records in any order give the same text.

    Raises:
        UsageError: if there are no records.
    """
    ordered = sorted(current(records), key=lambda record: (record.cell.label, record.cell.seed, record.id))
    if not ordered:
        raise UsageError("There are no records to report on.")
    environment = Environment(
        loader=PackageLoader("bench.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, scripts = _file("report.css"), [_vega(), _file("report.js")]
    page = environment.get_template("template.html.j2").render(
        contents=contents(ordered),
        policy=_policy(style, scripts),
        # Our and the libraries' own text, checked below; everything else on the page is escaped.
        style=_inline(style, "</style"),
        scripts=[_inline(script, "</script") for script in scripts],
    )
    return page.encode("utf-8", "replace").decode("utf-8")


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


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, of the version that Altair checks against."""
    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    # Both occur only in strings and patterns, where the backslash changes nothing.
    bundle = bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"(() => {{\n{bundle}\n}})();\n"  # in a function: it is a module's text, with thousands of short names


def _file(name: str) -> str:
    return resources.files("bench.report").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")
