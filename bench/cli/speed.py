"""`speed`: this project's training loop beside what people would use instead."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.common import AsJson, Mirror, ModelName, Plugins, print_json, stderr_console
from bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.speed.setting import Files

ROUNDS, EXAMPLES = 4, 512  # as many examples as the preset quick trains on
SCORE_SEEDS, SCORE_EXAMPLES = "5", 1000


def speed(
    model: ModelName = None,
    task: Annotated[str | None, typer.Option(help="A classification. Default: the first of the preset quick.")] = None,
    rounds: Annotated[int | None, typer.Option(help=f"Turns of each contender. Default: {ROUNDS}.", min=1)] = None,
    examples: Annotated[
        int | None,
        typer.Option(help=f"Training examples: {EXAMPLES} a round, or {SCORE_EXAMPLES} a training of --scores."),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Of these alone: lora, trainer, trainer-grouped, trainer-grouped-large, peft-loop, pasta, full, "
            "pasta-reference, head, memory.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each. Default: all cores.", min=1)] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Compare the scores that LoRA ends at, and not the speed; 10 minutes.")
    ] = False,
    seeds: Annotated[str | None, typer.Option(help=f"Seeds of --scores, as of run. Default: {SCORE_SEEDS}.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the figures to this file, as JSON.")] = None,
    mirror: Mirror = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Measure this project's training loop beside transformers' Trainer, PEFT's loop and PASTA's reference.

    Takes about 5 minutes on two cores; leave the machine alone meanwhile. `--rounds 2 --examples 160` takes one.
    All train the same examples in turns, with all cores; figures are ratios of the same minute.
    """
    _require_fitting(scores, only, rounds, seeds)
    from bench.profiles.probe import cpu_cores_allowed
    from bench.runner.run import waiting_threads

    os.environ.update(waiting_threads())  # before torch is loaded, and whichever contender it is
    where = _Where(stderr_console(), model, task, mirror, plugin or [], threads or cpu_cores_allowed())
    if scores:
        figures, text = _scores(where, seeds or SCORE_SEEDS, SCORE_EXAMPLES if examples is None else examples)
    else:
        figures, text = _speed(where, rounds or ROUNDS, EXAMPLES if examples is None else examples, only)
    _give(figures, text, out, as_json, where.console)


@dataclass(frozen=True)
class _Where:
    """What both kinds of measurement are told. model, task: None for the usual ones."""

    console: Console
    model: str | None
    task: str | None
    mirror: Path | None
    plugins: list[Path]
    threads: int

    def files(self) -> tuple[str, Files]:
        """The model's name, and where it and the task's data are once they are fetched."""
        from bench.grid import models
        from bench.runner.plan import fetch, references
        from bench.runner.progress import FetchDisplay
        from bench.runner.request import suite_of
        from bench.speed.setting import Files, require_classification

        usual = suite_of(None, None)
        model, task = self.model or usual.model, self.task or usual.tasks[0]
        require_classification(task, self.plugins)
        label = models.find(model).name
        with FetchDisplay(self.console) as display:
            found = fetch(references([task], model, self.plugins), self.mirror, display.told)
        files = Files(found[f"model {label}"].path, task, found[f"task {task}"].path, tuple(self.plugins))
        return label, files


def _require_fitting(scores: bool, only: str | None, rounds: int | None, seeds: str | None) -> None:
    """Raise a UsageError for options of one kind of measurement that were given with the other."""
    if scores and only is not None:
        raise UsageError("--only chooses what is timed; --scores always compares lora, trainer and trainer-grouped.")
    if scores and rounds is not None:
        raise UsageError("--rounds is of what is timed; with --scores it is --seeds that says how often.")
    if not scores and seeds is not None:
        raise UsageError("--seeds is for --scores; --rounds says how often each contender is timed.")


def _speed(where: _Where, rounds: int, examples: int, only: str | None) -> tuple[dict[str, Any], str]:
    from bench.plugins.specs import split_list
    from bench.runner.progress import StageDisplay
    from bench.speed import answers, suite
    from bench.speed.table import speed_text

    parts = suite.parts_of(None if only is None else split_list(only))
    size = suite.whole_batches(examples)
    model, files = where.files()
    request = suite.Request(files, model, rounds, size, where.threads, parts)
    where.console.print(
        f"{model} on {files.task}: {rounds} x {size} examples each with {where.threads} threads. With the defaults "
        "this takes about 5 minutes on two cores; leave the machine alone meanwhile.",
        markup=False,
    )
    with StageDisplay(where.console, suite.count(request)) as display:
        found = suite.measure(request, display.told)
    return answers.to_json(found), speed_text(found)


def _scores(where: _Where, seeds: str, examples: int) -> tuple[dict[str, Any], str]:
    from bench.runner.progress import StageDisplay
    from bench.runner.request import parse_seeds
    from bench.speed import scores

    wanted = parse_seeds(seeds)
    scores.require_examples(examples)
    model, files = where.files()
    with StageDisplay(where.console, len(wanted) * len(scores.LOOPS)) as display:
        found = scores.compare(files, model, wanted, examples, where.threads, display.told)
    return scores.to_json(found), scores.scores_text(found)


def _give(figures: dict[str, Any], text: str, out: Path | None, as_json: bool, console: Console) -> None:
    import json

    from bench.files import write_atomically

    if out is not None:
        write_atomically(out, json.dumps(figures, indent=2, allow_nan=False) + "\n")
    if as_json:
        print_json(figures)
    else:
        print(text)
    if out is not None:
        console.print(f"Written to {out}.", markup=False)
