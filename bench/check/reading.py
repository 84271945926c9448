"""One task and what it reads; run as a script, a second reading in an interpreter of its own.

python -m bench.check.reading MODULE FILE CLASS SOURCE       prints the digest of the splits
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from bench.plugins.registry import load_file
from bench.plugins.task import Splits, Task


class Reading:
    """What the clauses look at; each part is made when it is first asked for, and once.

    Args:
        task: the plugin.
        locate: gives the file or folder that its source resolves to; may raise SourceError.
    """

    def __init__(self, task: type[Task], locate: Callable[[], Path]) -> None:
        self.task = task
        self._locate = locate

    @cached_property
    def path(self) -> Path:
        return self._locate()

    @cached_property
    def splits(self) -> Splits:
        return self.task().read(self.path)

    def digest_elsewhere(self) -> str:
        """The digest of what a fresh interpreter reads, which hashes strings differently and so orders sets so.

        Raises:
            ChildProcessError: with the last line that it printed, if it fails.
        """
        own = os.environ.get("PYTHONHASHSEED", "random")
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "2" if own == "1" else "1"}
        where = [self.task.__module__, inspect.getfile(self.task), self.task.__qualname__, str(self.path)]
        done = subprocess.run(
            [sys.executable, "-m", "bench.check.reading", *where], env=env, capture_output=True, text=True
        )
        lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
        if done.returncode != 0:
            raise ChildProcessError(lines[-1] if lines else f"exit code {done.returncode}")
        return lines[-1]


def digest(splits: Splits) -> str:
    """A hash of every text and label, and of their order."""
    return hashlib.sha256(json.dumps(splits, sort_keys=True, default=repr).encode()).hexdigest()


def main(module: str, file: str, name: str, source: str) -> None:
    found = load_file(Path(file)) if module.startswith("bench_plugin_") else importlib.import_module(module)
    print(digest(getattr(found, name)().read(Path(source))))


if __name__ == "__main__":
    main(*sys.argv[1:])
