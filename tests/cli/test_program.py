"""The program as a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from bench import __version__

ROOT = Path(__file__).parents[2]


def test_help_and_version_import_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('not here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"}
    for arguments, text in ((["--help"], "leaderboard"), (["run", "-h"], "--dry-run"), (["--version"], __version__)):
        done = subprocess.run(
            [sys.executable, "-m", "bench", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert text in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def test_an_error_in_a_process_of_its_own_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "run", "--methods", "lor"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"Error: There is no method 'lor'; did you mean 'lora'\? There are: [^\n]*\n", done.stderr)
