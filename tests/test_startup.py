"""What answers at once must not import what takes seconds: modules are looked at, no time is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each alone costs more than the whole command may: from 0.1 s (numpy) to seconds.
HEAVY = {
    "torch", "transformers", "tokenizers", "peft", "datasets", "evaluate", "accelerate", "safetensors", "pandas",
    "pyarrow", "numpy", "scipy", "sklearn", "seqeval", "matplotlib", "altair", "huggingface_hub", "unearth",
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


def modules_of(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["run", "--help"], ["plan", "--help"], ["compare", "--help"], ["list"],
     ["list", "methods", "--json"], ["list", "profiles"]],
    ids=" ".join,
)  # fmt: skip
def test_what_answers_at_once_imports_nothing_heavy(arguments: list[str]) -> None:
    assert modules_of(*arguments) & HEAVY == set()


def test_help_does_without_pydantic_and_the_plugins_too() -> None:
    found = modules_of("--help")
    assert "pydantic" not in found
    assert not any(name.startswith(("methods.", "tasks.")) for name in found)
