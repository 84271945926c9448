"""What docs/cluster.md and docs/ray-slurm.sbatch say can be said: their commands are ones that there are."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from bench.cli import app

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = DOCS / "ray-slurm.sbatch"
LINES = [
    *re.findall(r"^    python -m bench run (.*)$", (DOCS / "cluster.md").read_text(encoding="utf-8"), re.MULTILINE),
    *re.findall(r"sbatch docs/ray-slurm.sbatch (.*)$", (DOCS / "cluster.md").read_text(encoding="utf-8"), re.MULTILINE),
    *re.findall(r"^python -m bench run (.*) &$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE),
]


def test_all_are_found() -> None:
    assert len(LINES) == 5


@pytest.mark.parametrize("line", LINES)
def test_the_command_line_takes_what_the_docs_say(line: str) -> None:
    arguments = [word for word in shlex.split(line) if word != "$@"]
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    with command.make_context("run", arguments) as context:
        assert context.params["executor"] in ("local", "ray")


def test_the_script_is_one_that_bash_reads() -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("no bash")
    done = subprocess.run([bash, "-n", str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
