"""`list`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.common import AsJson, Plugins, print_json
from bench.errors import UsageError


def list_(
    what: Annotated[
        str | None, typer.Argument(help="methods, tasks, models, profiles or suites. Default: all.")
    ] = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List methods, tasks, models, profiles and suites."""
    from bench.grid import catalogue
    from bench.suggestions import suggest
    from bench.text import text_table

    if what is not None and what not in catalogue.KINDS:
        raise UsageError(f"There is nothing called {what!r} to list{suggest(what, catalogue.KINDS)}")
    kinds = [what] if what else list(catalogue.KINDS)
    listed = {kind: catalogue.entries(kind, plugin or ()) for kind in kinds}
    if as_json:
        print_json(listed[what] if what else listed)
        return
    for kind, entries in listed.items():
        if what is None:
            print(f"\n{kind}:" if kind != kinds[0] else f"{kind}:")
        print(text_table([catalogue.brief(kind, entry) for entry in entries]))
