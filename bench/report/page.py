"""The page itself: the template filled, scripts and styles within, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from bench.report.sections import Contents
from bench.report.table import caption

if TYPE_CHECKING:
    from jinja2 import Environment


def filled(contents: Contents) -> str:
    """The page as HTML text that encodes to UTF-8."""
    from markupsafe import Markup

    style, scripts = _file("report.css"), [_vega(), _file("report.js")]
    page = _environment().get_template("template.html.j2").render(
        contents=contents,
        policy=_policy(style, scripts),
        # Ours and the library's own text, checked below; everything else on the page is escaped.
        style=Markup(_inlined(style, "</style")),
        scripts=[Markup(_inlined(script, "</script")) for script in scripts],
    )  # fmt: skip
    return page.encode("utf-8", "replace").decode("utf-8")


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bench.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["caption"] = caption
    return environment


def _policy(style: str, scripts: list[str]) -> str:
    """A Content-Security-Policy: these texts may run, and nothing may be loaded from anywhere."""
    allowed = " ".join(_digest(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; img-src data: blob:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inlined(text: str, end: str) -> str:
    """The text, if it can stand between its tags as it is: it does not end them, nor open a comment."""
    if end in text.lower() or "<!--" in text or "\r" in text or "\0" in text:
        raise ValueError(f"a text with {end} or <!-- in it cannot stand in a page as it is")
    return text


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, of the version that Altair checks against."""
    import altair
    import vl_convert

    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    # It is the text of a module: within a function, its thousands of short names stay its own. Within strings and
    # patterns, where alone these can stand, a backslash before the slash or the mark changes nothing.
    bundle = bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"(() => {{\n{bundle}\n}})();\n"


def _file(name: str) -> str:
    return resources.files("bench.report").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")
