"""`plan`: what a grid will train and take, without running it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.common import EXIT_FAILED, GRID, AsJson, merged, print_json, stderr_console, takes_options
from bench.runner.options import Options
from bench.sanitize import one_line

if TYPE_CHECKING:
    from bench.runner.forecasting import Setting
    from bench.runner.request import Request


@takes_options(*GRID)
def plan(
    options: Options,
    special_tokens: Annotated[
        int | None, typer.Option(min=1, help="Special tokens to assume per input. Default: as the tokenizer adds them.")
    ] = None,
    detect: Annotated[
        float | None,
        typer.Option(
            metavar="DIFFERENCE",
            help="Instead: the seeds and test examples that separate two methods whose scores differ by this much "
            "(0.02), from the variances of the results in --results.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict trained parameters, FLOPs, memory, adapter size and time of every method of a grid.

    Needs no weights, no data and not the machine of the profile. A cell that will not fit into memory is marked.
    """
    from bench.cli.terminal_tables import plan_table
    from bench.runner.request import Request

    request = Request.of(options)
    if detect is not None:
        _detection(request, detect, as_json)
        return
    from bench.runner.forecasting import forecast  # loads torch: not before the options are known to be right

    setting, forecasts = forecast(request, special_tokens)
    rows = [each.row(setting) for each in forecasts]
    if as_json:
        print_json(rows)
    else:
        print(plan_table(rows))
        _explain(rows, setting)
    wrong = [row for row in rows if row["formula"] not in (None, row["trainable_params"])]
    for row in wrong:
        stderr_console().print(f"{row['method']} on {row['task']}: its formula says {row['formula']:,}.")
    if wrong:
        raise typer.Exit(EXIT_FAILED)


def _detection(request: Request, wanted: float, as_json: bool) -> None:
    """What it takes to detect a difference, of all pairs of the request's methods."""
    from bench.cli.terminal_tables import detection_table
    from bench.errors import UsageError
    from bench.leaderboard.detection import detection_lines

    if not 0 < wanted < math.inf:
        raise UsageError(f"--detect {wanted:g}: give a difference of scores above 0, such as 0.02.")
    if len(request.methods) < 2:
        raise UsageError("--detect compares methods: give at least two (--methods pasta,lora).")
    console = stderr_console()
    records = merged([request.results], None, console) if request.results.is_dir() else []
    asked = (wanted, len(request.methods), len(request.seeds))
    lines = list(detection_lines(records, request.tasks, request.model, request.suite, asked))
    if all(line["metric"] is None for line in lines):
        raise UsageError(
            f"{request.results} has no two methods at two seeds on {', '.join(request.tasks)} with the model "
            f"{request.model}, and so no variances to plan with: run a small grid first, or name another folder with "
            "--results."
        )
    print_json(lines) if as_json else print(detection_table(lines))


def _explain(rows: list[dict[str, Any]], setting: Setting) -> None:
    """What the table does not say by itself, on standard error."""
    from bench.forecast.seconds import duration

    console = stderr_console()
    for note in setting.notes:
        console.print(one_line(note), markup=False)
    for status, reason in dict.fromkeys((row["status"], row["reason"]) for row in rows if row["reason"]):
        console.print(f"{'Skipped' if status == 'skipped' else 'Note'}: {reason}")
    memory = setting.memory
    if recipes := _recipes(rows):
        console.print("Recipes, where they are not the method's own (--json has all settings):")
        console.print("\n".join(recipes), markup=False, soft_wrap=True)
    available = "unknown memory" if memory.mib is None else f"{memory.mib:,} MiB of {memory.of}"
    console.print(
        f"Profile {setting.profile.name}: {available}. MiB: predicted peak of training at the "
        "largest batch. Its tokens are those\nof the longest texts, or (*) the task's limit if the data or the "
        "tokenizer are not here."
    )
    if setting.profile.compile:
        console.print("The profile compiles the model; its memory is predicted as if it did not.")
    known = [row["predicted_seconds"] * row["n_seeds"] for row in rows if row["predicted_seconds"] is not None]
    if known:
        unknown = len(rows) - len(known)
        rest = f", without {unknown} row{'s' * (unknown > 1)} whose time is unknown" if unknown else ""
        sources = ", ".join(sorted({row["predicted_seconds_from"] for row in rows if row["predicted_seconds_from"]}))
        console.print(f"Time of the grid: {duration(sum(known) / setting.profile.workers)}{rest} (from: {sources}).")


def _recipes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each method: the settings that are not its own, and where each is from.

    A setting that differs between tasks is named without its value.
    """
    from bench.plugins.specs import method_label

    methods: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["recipe"] is not None:
            methods.setdefault(method_label(row["method"], row["method_params"]), []).append(row)
    lines = []
    for method, found in methods.items():
        by_source: dict[str, list[str]] = {}
        for name in found[0]["recipe_sources"]:
            sources = {row["recipe_sources"][name] for row in found} - {"method", "default"}
            values = {row["recipe"][name] for row in found}
            if sources:
                if len(sources) > 1:  # of several tasks: the files and suites alone
                    sources = {source.partition(":")[0] for source in sources}
                setting = f"{name} {values.pop()}" if len(values) == 1 else name
                by_source.setdefault(" or ".join(sorted(sources)), []).append(setting)
        if by_source:
            groups = (f"{', '.join(names)} ({source})" for source, names in by_source.items())
            lines.append(f"  {method}: {'; '.join(groups)}")
    return lines
