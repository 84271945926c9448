"""`compare`: did this change make anything worse? For CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import EXIT_FAILED, EXIT_NOTHING, AsJson, merged, print_json, stderr_console

if TYPE_CHECKING:
    from rich.console import Console

    from bench.comparison.noise import Noise


def compare(
    base: Annotated[Path, typer.Argument(help="The results folder that is compared with.")],
    new: Annotated[Path, typer.Argument(help="The results folder that is judged.")],
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A change up to VALUE does not matter: score=0.02, adapter_bytes=5%. Repeatable.",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit XML report here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown here, for a job's summary.")] = None,
    across_profiles: Annotated[
        bool,
        typer.Option("--across-profiles", help="Compare rows of different profiles too: score, parameters, bytes."),
    ] = False,
    noise: Annotated[
        Path | None, typer.Option(help="The machine's noise, from `bench noise`. Default: BASE/noise.json.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a run against another: 0 nothing got worse, 1 something did, 3 nothing to compare."""
    from bench.comparison import formats
    from bench.comparison.judge import compare_runs
    from bench.comparison.measures import with_thresholds
    from bench.files import write_atomically

    measures = with_thresholds(threshold or ())
    console = stderr_console()
    known = _noise(noise, base)
    after = merged([new], None, console).records
    before = merged([base], None, console).records if base.is_dir() else []
    found = compare_runs(before, after, measures=measures, noise=known, across_profiles=across_profiles)
    if junit is not None:
        write_atomically(junit, formats.as_junit(found))
    if markdown is not None:
        write_atomically(markdown, formats.as_markdown(found))
    if as_json:
        print_json(formats.as_dict(found))
    else:
        print(formats.as_text(found))
    if found.verdict == "nothing comparable":
        _say_why_nothing(base, new, bool(before), bool(after), console)
        raise typer.Exit(EXIT_NOTHING)
    if found.verdict == "regression":
        raise typer.Exit(EXIT_FAILED)


def _noise(given: Path | None, base: Path) -> Noise | None:
    from bench.comparison import noise

    beside = base / noise.FILE
    if given is None and not beside.exists():
        return None
    return noise.load(given or beside)


def _say_why_nothing(base: Path, new: Path, before: bool, after: bool, console: Console) -> None:
    if not base.is_dir():
        why = f"there is no folder {base}"
    elif not before or not after:
        why = f"{new if before else base} holds no record that can be read"
    else:
        why = f"{base} and {new} have nothing in common that can be judged"
    console.print(f"Nothing comparable: {why}.", markup=False)
