"""What answers at once must not import what takes seconds: modules are looked at, no time is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.version import __version__

ROOT = Path(__file__).parents[2]
# Each alone costs more than the whole command may: from 0.1 s (numpy) to seconds.
HEAVY = {
    "torch", "transformers", "tokenizers", "peft", "datasets", "evaluate", "accelerate", "safetensors", "pandas",
    "pyarrow", "numpy", "scipy", "sklearn", "seqeval", "matplotlib", "huggingface_hub", "unearth",
}  # fmt: skip
CODE = """
import json, sys
sys.argv = ["bench", *sys.argv[1:]]
from bench.__main__ import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [("--help", "leaderboard"), ("--version", __version__), ("run -h", "--dry-run"),
     ("list", "rt-polarity"), ("list methods --json", '"pasta"')],
)  # fmt: skip
def test_what_answers_at_once_imports_nothing_heavy(arguments: str, text: str) -> None:
    command = [sys.executable, "-c", CODE, *arguments.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert text in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    modules = set(json.loads(done.stderr.splitlines()[-1]))
    assert modules & HEAVY == set()
    if arguments == "--help":
        assert "pydantic" not in modules
        assert not any(name.startswith(("methods.", "tasks.")) for name in modules)


def test_a_run_leaves_what_trains_to_its_workers() -> None:
    code = "import sys, bench.runner.session; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"'torch'", "'transformers'", "'peft'"} & set(done.stdout.strip("[]\n").split(", "))


def test_an_error_is_one_line() -> None:
    command = [sys.executable, "-m", "bench", "list", "method"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"Error: There is nothing called 'method' to list; did you mean 'methods'\?[^\n]*\n", done.stderr
    )
