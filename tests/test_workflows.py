"""The workflows as far as they can be held to account without GitHub: they parse, and their shell does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bench import profiles
from bench.cli import app
from bench.grid import suites

FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_only_read_and_pins_its_actions(file: Path) -> None:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert content["permissions"] == {"contents": "read"}
    for step in steps(file):
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))
        shell = subprocess.run(["bash", "-n"], input=step.get("run", ""), text=True, capture_output=True, check=False)
        assert (shell.returncode, shell.stderr) == (0, "")


def test_the_comparisons_options_are_those_of_the_command_line() -> None:
    shell = " ".join(step["run"].replace("\\\n", " ") for step in steps(FOLDER / "regression.yml") if "run" in step)
    commands = re.findall(r"python -m bench (run|compare)((?: [^|;&\n]+)?)", shell)
    assert sorted(name for name, _ in commands) == ["compare", "compare", "run", "run"]
    for name, arguments in commands:
        known = (
            CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).output
        )
        for word in shlex.split(arguments):
            assert not word.startswith("--") or word in known
    suites.load("ci")
    profiles.load(
        yaml.safe_load((FOLDER / "regression.yml").read_text(encoding="utf-8"))["jobs"]["compare"]["env"]["PROFILE"]
    )


@pytest.mark.parametrize(
    ("baseline", "before", "expected"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (0, 3, 0), (3, 0, 3), (2, 0, 2), (0, 2, 2)]
)
def test_the_verdict_keeps_the_exit_codes(baseline: int, before: int, expected: int) -> None:
    script = next(step["run"] for step in steps(FOLDER / "regression.yml") if step.get("name") == "The verdict")
    environment = {"BASELINE": str(baseline), "BEFORE": str(before)}
    done = subprocess.run(["bash", "-e", "-c", script], env=environment, capture_output=True, check=False)
    assert done.returncode == expected
