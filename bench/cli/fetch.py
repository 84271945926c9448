"""`fetch`: downloads what a run needs, ahead of it."""

from __future__ import annotations

from bench.cli.common import AsJson, print_json, stderr_console, takes_options
from bench.runner.options import Options


@takes_options("tasks", "data", "model", "preset", "suite", "mirror", "plugin")
def fetch(options: Options, as_json: AsJson = False) -> None:
    """Download everything that a run would download, ahead of it."""
    from bench.runner.plan import fetch, references
    from bench.runner.progress import FetchDisplay
    from bench.runner.request import Request

    request = Request.of(options)
    wanted = references(request.tasks, request.model, request.plugins)
    console = stderr_console()
    with FetchDisplay(console) as display:
        found = fetch(wanted, request.mirror, display.on_progress)
    for each in found.values():
        if each.note:
            console.print(each.note)
    if as_json:
        print_json(
            [
                {"name": name, "source": wanted[name], "revision": each.revision, "path": str(each.path)}
                for name, each in found.items()
            ]
        )
        return
    for name, each in found.items():
        print(f"{name}: {each.path}")
