"""`compare`: did this change make anything worse? For CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import EXIT_FAILED, EXIT_NOTHING, AsJson, merged, print_json, stderr_console


def compare(
    base: Annotated[Path, typer.Argument(help="Results folder to compare with.")],
    new: Annotated[Path, typer.Argument(help="Results folder to judge.")],
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Ignore changes up to VALUE: score=0.02, adapter_bytes=5%. Repeatable.",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit XML report here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown here, for a job summary.")] = None,
    across_profiles: Annotated[
        bool,
        typer.Option("--across-profiles", help="Compare score, parameters and bytes across profiles too."),
    ] = False,
    across_models: Annotated[
        bool,
        typer.Option("--across-models", help="Compare different models too, such as a checkpoint and the next one."),
    ] = False,
    noise: Annotated[Path | None, typer.Option(help="Noise measured by `noise`. Default: BASE/noise.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs. Exit code: 0 nothing got worse, 1 something did, 3 nothing to compare."""
    from bench.comparison import formats
    from bench.comparison import noise as noises
    from bench.comparison.judge import compare_runs
    from bench.comparison.measures import with_thresholds
    from bench.files import write_atomically

    measures = with_thresholds(threshold or ())
    console = stderr_console()
    file = noise or base / noises.FILE
    known = noises.load(file) if noise or file.exists() else None
    after = merged([new], None, console)
    before = merged([base], None, console) if base.is_dir() else []
    across = frozenset(name for name, wanted in (("profile", across_profiles), ("model", across_models)) if wanted)
    found = compare_runs(before, after, measures=measures, noise=known, across=across)
    if junit is not None:
        write_atomically(junit, formats.as_junit(found))
    if markdown is not None:
        write_atomically(markdown, formats.as_markdown(found))
    if as_json:
        print_json(formats.as_dict(found))
    else:
        print(formats.as_text(found))
    if found.verdict == "nothing comparable":
        console.print(f"Nothing comparable: {_why_nothing(base, new, bool(before), bool(after))}.")
        raise typer.Exit(EXIT_NOTHING)
    if found.verdict == "regression":
        raise typer.Exit(EXIT_FAILED)


def _why_nothing(base: Path, new: Path, before: bool, after: bool) -> str:
    if not base.is_dir():
        return f"there is no folder {base}"
    if not before or not after:
        return f"{new if before else base} holds no record that can be read"
    return f"{base} and {new} have nothing in common"
