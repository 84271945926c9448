"""`check`: whether plugins keep the contract."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import EXIT_FAILED, EXIT_INTERRUPTED, AsJson, print_json, stderr_console, takes_options
from bench.errors import SourceError
from bench.runner.options import DATA, Options, PathLike

if TYPE_CHECKING:
    from rich.console import Console

    from bench.check.checking import Plugin, Report


@takes_options("data", *DATA, "plugin", "mirror")
def check(
    options: Options,
    plugins: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PLUGIN]...",
            help="Methods, with parameters if need be; tasks; metrics; Python and TOML files of plugins. "
            "Default: everything.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="The encoder that methods are tried on. Default: a tiny random BERT."),
    ] = None,
    no_data: Annotated[bool, typer.Option("--no-data", help="Skip the checks that need a task's data.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that one plugin may take.", min=0.001)] = 600,
    as_json: AsJson = False,
) -> None:
    """Check that methods, tasks and metrics keep the plugin contract."""
    from bench.runner import own_data
    from bench.runner.request import paths

    with tempfile.TemporaryDirectory() as folder:
        own = own_data.declared(options, Path(folder))
        names = [*(plugins or ()), *([str(own)] if own else [])]
        reports = _reports(names, paths(options.plugin), model, options.mirror, no_data, timeout, as_json)
    if as_json:
        print_json([report.as_dict() for report in reports])
    if any(report.status != "ok" for report in reports):
        raise typer.Exit(EXIT_FAILED)


def _reports(
    names: Sequence[str], plugins: Sequence[Path], model: str | None, mirror: PathLike | None, no_data: bool,
    timeout: float, as_json: bool,
) -> list[Report]:  # fmt: skip
    """Each plugin's report, printed as soon as it is ready unless JSON is asked for."""
    from rich.markup import escape

    from bench.check import checking

    console = stderr_console()
    found, files = checking.select(names, plugins)
    tasks = [] if no_data else [each.spec for each in found if each.type == "task" and each.error is None]
    folder, data = _fetch(model, tasks, files, Path(mirror) if mirror else None, console)
    reports: list[Report] = []
    with console.status("Starting") as status:

        def on_progress(current: Plugin, check: str, on: str | None) -> None:
            where = f" on {on}" if on else ""
            status.update(f"{len(reports) + 1} of {len(found)}, {escape(current.spec)}: {check}{where}")

        try:
            for report in checking.check(found, files, folder, data, timeout, on_progress):
                reports.append(report)
                if not as_json:
                    print("\n".join(report.lines()), flush=True)
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
    return reports


def _fetch(
    model: str | None, tasks: Sequence[str], files: Sequence[Path], mirror: Path | None, console: Console
) -> tuple[Path | None, dict[str, Path | SourceError]]:
    """The model's folder; of each task where its source is, or why it is unavailable."""
    from bench.grid import models
    from bench.plugins import registry
    from bench.runner.plan import fetch
    from bench.runner.progress import FetchDisplay

    folder, data, known = None, dict[str, Path | SourceError](), registry.tasks(files)
    with FetchDisplay(console) as display:
        for task in tasks:
            wanted = {f"task {task}": known.get(task).plugin.source}
            try:
                data[task] = fetch(wanted, mirror, display.on_progress)[f"task {task}"].path
            except SourceError as error:
                data[task] = error
        if model is not None:
            found = fetch({f"model {model}": models.find(model).source}, mirror, display.on_progress)[f"model {model}"]
            folder = found.path
            if found.note:
                console.print(found.note)
    return folder, data
