"""What docs/cluster.md and docs/ray-slurm.sbatch say can be said: their commands are ones that there are."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import commands
import pytest
import typer

from bench.cli import app

DOCS = commands.ROOT / "docs"
SCRIPT = DOCS / "ray-slurm.sbatch"
PAGE = DOCS / "cluster.md"
CALLS = [
    *(arguments for command, *arguments in commands.bench_commands(PAGE) if command == "run"),
    *map(
        shlex.split, re.findall(r"sbatch docs/ray-slurm.sbatch (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    ),
    *map(shlex.split, re.findall(r"^python -m bench run (.*) &$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)),
]


def test_the_command_line_takes_what_the_docs_say() -> None:
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    assert len(CALLS) == 4
    for call in CALLS:
        with command.make_context("run", [word for word in call if word != "$@"]) as context:
            assert context.params["executor"] in ("local", "ray")


def test_the_script_is_one_that_bash_reads() -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("no bash")
    done = subprocess.run([bash, "-n", str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
