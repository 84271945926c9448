"""Options that several commands share, and how they print."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer
from typer.models import OptionInfo

from bench.errors import UsageError
from bench.runner.options import DATA, DECLARED, Options
from bench.runner.options import DEFAULT_RESULTS as DEFAULT_RESULTS
from bench.sanitize import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from bench.records.record import Record

EXIT_FAILED, EXIT_NOTHING, EXIT_INTERRUPTED = 1, 3, 130  # 3: nothing to compare or show
GRID = (
    "methods", "tasks", "seeds", "data", *DATA, "model", "pooling", "profile", "preset", "suite", "results",
    "mirror", "plugin",
)  # fmt: skip

P = ParamSpec("P")


def shared(name: str, help: str | None = None) -> OptionInfo:
    """The option of `run` of that name as typer declares it; help: this command's own text."""
    declared = DECLARED[name][1]
    text = (help or declared.help).replace("[", "\\[")  # or rich takes it for markup
    made: OptionInfo = typer.Option(f"--{name.replace('_', '-')}", help=text, min=declared.least, envvar=declared.env)
    return made


def takes_options(
    *names: str, **changed: tuple[Any, str]
) -> Callable[[Callable[Concatenate[Options, P], None]], Callable[..., None]]:
    """Decorate a command: these options of `run` take the place of its first parameter.

    changed: defaults and help texts that differ from those of `run`; a default of ... makes an option required.
    """

    def decorate(command: Callable[Concatenate[Options, P], None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        def expanded(**given: Any) -> None:
            command(Options(**{name: given.pop(name) for name in names}), **given)  # type: ignore[call-arg]

        parameters = [*(_parameter(name, *changed.get(name, (DECLARED[name][0], None))) for name in names), *own]
        expanded.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        )
        expanded.__name__, expanded.__doc__ = command.__name__, command.__doc__
        return expanded

    return decorate


def _parameter(name: str, default: Any, help: str | None) -> inspect.Parameter:
    kind = DECLARED[name][1].kind
    if default is None:
        kind = kind | None
    default = inspect.Parameter.empty if default is ... else default
    annotation = Annotated[kind, shared(name, help)]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


Results = Annotated[Path, shared("results")]
ModelName = Annotated[str | None, shared("model")]
Mirror = Annotated[Path | None, shared("mirror")]
Plugins = Annotated[list[Path] | None, shared("plugin")]
Folders = Annotated[
    list[Path] | None, typer.Argument(metavar="[DIR]...", help=f"Results folders. Default: {DEFAULT_RESULTS}.")
]
OnlyProfile = Annotated[
    str | None, typer.Option("--profile", help="Cells of this profile only; 'all': separate rows for each profile.")
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="METHOD",
        help="Compare the others with this method, chosen before the results were known: p-values and intervals are "
        "corrected for these comparisons alone.",
    ),
]
Tuning = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Show the trials that `tune` wrote to this folder on the page.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]


def stderr_console() -> Console:
    """Standard error, for people. Brackets are text, not markup; a log's lines are not wrapped."""
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False, soft_wrap=not sys.stderr.isatty())


def merged(folders: Sequence[Path] | None, profile: str | None, console: Console) -> list[Record]:
    """The records of results folders (by default the local one); notes on what was left out go to `console`."""
    from bench.leaderboard.load import load_records

    found = load_records(folders or [DEFAULT_RESULTS], profile)
    for note in found.notes:
        console.print(one_line(note))
    return found.records


def require_records(records: Sequence[Record], folders: Sequence[Path] | None, console: Console) -> None:
    """Exit if there are no records in the folders."""
    if not records:
        where = ", ".join(map(str, folders or [DEFAULT_RESULTS]))
        console.print(one_line(f"There are no records in {where}; `python -m bench run` writes some."))
        raise typer.Exit(EXIT_NOTHING)


def trials_of(folder: Path | None) -> list[dict[str, str]] | None:
    """The lines of a folder's trials.csv; None for no folder.

    Raises:
        UsageError: if it has none that can be read.
    """
    import csv

    from bench.tuning.files import TRIALS

    if folder is None:
        return None
    try:
        with (folder / TRIALS).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--tuning {folder} has no readable {TRIALS}: {error}.") from None


def print_json(value: Mapping[Any, Any] | Sequence[Any]) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
