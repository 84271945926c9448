"""The templates and style sheets of the page, and drawings in files of their own."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape


@cache
def environment() -> Environment:
    found = Environment(
        loader=PackageLoader("bench.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["breakable"] = breakable
    return found


def breakable(text: str) -> Markup:
    """The text, escaped, that a line may break after the signs within a method's name."""
    return Markup(re.sub(r"(?<=[\[,_])(?=.)", "<wbr>", str(escape(text))))


def file(name: str) -> str:
    return resources.files("bench.report").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def in_light_colours(drawing: str) -> str:
    """The drawing with the light theme's colours in place of custom properties, which few image viewers know."""
    light = dict(re.findall(r"(--[\w-]+): light-dark\((#\w+),", file("report.css")))
    return re.sub(r"var\((--[\w-]+)\)", lambda of: light[of[1]], drawing)
