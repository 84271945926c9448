"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import UsageError
from bench.sanitize import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from bench.grid.pscp import Pscp
    from bench.leaderboard.merging import Merged
    from bench.runner.request import Request

EXIT_FAILED, EXIT_NOTHING, EXIT_INTERRUPTED = 1, 3, 130  # 3: nothing comparable
MOST_SEEDS = 1000  # more than anybody runs: a larger count is a seed's number
DEFAULT_RESULTS = Path("results/local")

Results = Annotated[Path, typer.Option("--results", help="Folder that takes the records and tables.")]
Folders = Annotated[
    list[Path] | None, typer.Argument(metavar="[DIR]...", help="Results folders. Default: results/local.")
]
OnlyProfile = Annotated[
    str | None, typer.Option("--profile", help="The cells of this profile alone; all: rows for each profile.")
]
PscpSuite = Annotated[
    str | None,
    typer.Option("--pscp", metavar="SUITE", help="Add the cost-aware score, with the constants of this suite."),
]
Mirror = Annotated[
    Path | None,
    typer.Option(envvar="BENCH_MIRROR", help="Folder looked at before the hub, laid out OWNER/NAME."),
]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with methods or tasks; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
Methods = Annotated[str | None, typer.Option(help="Methods, such as 'pasta,lora\\[r=4]'. Default: the suite's.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="How many seeds (3), or which (0,1,2).")]
ProfileName = Annotated[str, typer.Option("--profile", help="Hardware profile: auto, a name, or a TOML file.")]
Preset = Annotated[str | None, typer.Option(help="Budget and default grid: quick, standard or full.")]
SuiteOption = Annotated[str | None, typer.Option("--suite", help="A named grid, or a TOML file of one.")]
Tasks = Annotated[str | None, typer.Option(help="Tasks, separated by commas. Default: the suite's.")]
ModelName = Annotated[str | None, typer.Option("--model", help="A model's name, a folder, or hub:OWNER/NAME@REVISION.")]


def parse_seeds(text: str) -> list[int]:
    """`3` is the seeds 0, 1, 2; `0,7` is those two, and `5,` the one seed 5.

    Raises:
        UsageError: if it is neither.
    """
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or any(number < 0 for number in numbers) or (numbers == [0] and "," not in text):
        raise UsageError(f"--seeds {text!r} is neither a count (3) nor a list (0,1,2).")
    if "," not in text and numbers[0] > MOST_SEEDS:
        raise UsageError(f"--seeds {text!r} is more than {MOST_SEEDS} seeds; the one seed of that number is '{text},'.")
    return list(dict.fromkeys(numbers)) if "," in text else list(range(numbers[0]))


def asked(*, seeds: str | None, plugins: Sequence[Path] | None, **given: Any) -> Request:
    """The request that the options of `run` make; given: the further arguments of `asking.ask`."""
    from bench.runner.request import ask

    return ask(seeds=None if seeds is None else parse_seeds(seeds), plugins=plugins or (), **given)


def stderr_console() -> Console:
    """Standard error, for people: a log's lines are not wrapped at the width of a terminal that is not there."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def merged(folders: Sequence[Path] | None, profile: str | None, console: Console) -> Merged:
    """The records of results folders (by default the local one); what there is to be said of them goes to `console`."""
    from bench.leaderboard.merging import merge

    found = merge(folders or [DEFAULT_RESULTS], profile)
    for note in found.notes:
        console.print(one_line(note), markup=False)
    return found


def pscp_of(suite: str | None) -> Pscp | None:
    """The constants of the cost-aware score that a suite declares; None where none is asked for."""
    from bench.grid import suites

    if suite is None:
        return None
    found = suites.load(suite).pscp
    if found is None:
        raise UsageError(f"The suite {suite} declares no constants of PSCP: add a table [pscp] to its file.")
    return found


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
