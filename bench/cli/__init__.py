"""The command line: parsing and printing, nothing else. What it does is in the modules that it calls.

One module a command. Heavy modules are imported inside the commands, so that `--help` and `list` answer at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.check import check
from bench.cli.compare import compare
from bench.cli.fetch import fetch
from bench.cli.freeze import freeze
from bench.cli.leaderboard import leaderboard
from bench.cli.list import list_
from bench.cli.noise import noise
from bench.cli.plan import plan
from bench.cli.publish import publish
from bench.cli.report import report
from bench.cli.run import run
from bench.cli.tune import tune
from bench.cli.verify import verify
from bench.version import __version__

app = typer.Typer(
    help="Benchmark parameter-efficient tuning methods: PASTA beside LoRA, BitFit, prompt tuning and full fine-tuning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"bench {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before the command."""


for command in (
    run, plan, tune, list_, fetch, leaderboard, report, publish, compare, noise, freeze, verify, check
):  # fmt: skip
    app.command(command.__name__.rstrip("_"))(command)
