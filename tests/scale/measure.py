"""What commands take on a folder of many records: `python tests/scale/measure.py FOLDER [OTHER]`.

Each runs in a process of its own; printed are its wall time, its processor time with that of its children, and the
peak of its resident memory (of the largest of its processes).
OTHER: a folder of the same cells, for `compare`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def measure(arguments: list[str]) -> tuple[int, float, float, float]:
    """Exit code, wall seconds, processor seconds, peak MiB of `python -m bench` with these arguments."""
    code = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss]))\n"
    )
    began = time.monotonic()
    command = [sys.executable, "-c", code, sys.executable, "-m", "bench", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    exit_code, processor, peak = json.loads(done.stdout)
    return exit_code, time.monotonic() - began, processor, peak / (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    folder, *others = (str(Path(each).absolute()) for each in sys.argv[1:])
    with tempfile.TemporaryDirectory() as out:
        commands = {
            "leaderboard": ["leaderboard", folder],
            "pairs": ["leaderboard", folder, "--pairs", "--out", f"{out}/pairs.csv"],
            "cells": ["leaderboard", folder, "--per-cell", "--out", f"{out}/cells.csv"],
            "report": ["report", folder, "--out", f"{out}/report.html"],
            "run --dry-run": ["run", "--dry-run", "--results", folder],
        }
        for other in others:
            commands["compare"] = ["compare", folder, other]
        for name, arguments in commands.items():
            exit_code, wall, processor, peak = measure(arguments)
            print(f"{name:24} exit {exit_code}  {wall:7.1f} s  {processor:7.1f} s of processors  {peak:6.0f} MiB",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
