"""A model, a task and methods so small that a whole grid runs in seconds, as files that `python -m bench` takes.

The methods fail in every way there is; with TINY_CURED set in the environment those that fail by their own
code behave, so that a second run of the same cells can succeed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny

ROOT = Path(__file__).parents[1]

PROFILE = """
name = "tiny-cpu"
summary = "for tests"
device = "cpu"
dtype = "float32"
threads = 1
workers = 1
micro_batch_size = 32
eval_batch_size = 128
matmul_precision = "highest"
deterministic = true
min_cores = 1
min_memory_mib = 1
"""

SUITE = """
name = "tiny-suite"
summary = "for tests"
methods = ["steady", "chatty"]
tasks = ["tiny"]
seeds = [7]
model = {model!r}
[budget]
test_examples = 12
choose = "best"
[recipes.steady]
epochs = 3
[recipes.chatty]
epochs = 3
"""

TASK = """
from pathlib import Path
from bench.plugins.task import SPLITS, Example, Task

class Tiny(Task):
    name = "tiny"
    summary = "is the film a good one"
    kind = "classification"
    source = {source!r}
    labels = ("bad", "good")
    metric = "accuracy"
    max_length = 16

    def read(self, path):
        splits = {{name: [] for name in SPLITS}}
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            split, label, text = line.split("\\t")
            splits[split].append(Example(text, int(label)))
        return splits
"""

METHODS = """
import os, signal, sys, time
from pathlib import Path
from bench.errors import NotApplicable
from bench.plugins.method import Method, Params
from bench.plugins.recipe import Recipe
from bench.plugins.search_space import rates

print("a plugin that talks while it is imported")

class _Tiny(Method):
    paper = "none"

    def recipe(self, task, config):
        return Recipe(learning_rate=1e-2, epochs=2, batch_size=4, chosen_by="nobody")

    def apply(self, model, task):
        if "TINY_CURED" not in os.environ:
            self.misbehave(model)
        return model

    def misbehave(self, model):
        pass

class SteadyParams(Params):
    width: int = 1
    wide: bool = False

class Steady(_Tiny):
    name = "steady"
    summary = "the head alone"
    Params = SteadyParams
    space = rates(1e-3, 1e-1)

class Chatty(_Tiny):
    name = "chatty"
    summary = "prints"

    def apply(self, model, task):
        print("a plugin that talks while it works")
        return model

class Raises(_Tiny):
    name = "raises"
    summary = "raises"

    def misbehave(self, model):
        raise ValueError("no such luck\\nand a second line")

class Killer(_Tiny):
    name = "killer"
    summary = "kills its own process"

    def misbehave(self, model):
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

class Greedy(_Tiny):
    name = "greedy"
    summary = "runs out of memory"

    def misbehave(self, model):
        raise MemoryError

class Diverges(_Tiny):
    name = "diverges"
    summary = "its loss is NaN from the third step on"
    space = rates(1e-3, 1e-1)

    def misbehave(self, model):
        calls = []
        def spoil(module, inputs, output):
            calls.append(1)
            if len(calls) >= 3:
                output.logits = output.logits * float("nan")
            return output
        model.register_forward_hook(spoil)

class Refuses(_Tiny):
    name = "refuses"
    summary = "is for other models"

    def apply(self, model, task):
        raise NotApplicable("it needs a model with wings")

class Slow(_Tiny):
    name = "slow"
    summary = "sleeps before it begins"

    def misbehave(self, model):
        Path(os.environ["TINY_MARK"]).write_text(str(os.getpid()))
        time.sleep(600)
"""


@dataclass(frozen=True)
class TinyGrid:
    """Where everything lies, and `python -m bench` with it."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "tiny-bert"

    @property
    def profile(self) -> Path:
        return self.folder / "tiny-cpu.toml"

    @property
    def suite(self) -> Path:
        return self.folder / "tiny.toml"

    @property
    def plugins(self) -> list[str]:
        return [part for file in self.keywords["plugin"] for part in ("--plugin", str(file))]

    @property
    def keywords(self) -> dict[str, Any]:
        """What chooses all of it, for `bench.run` and `Options`."""
        files = [self.folder / name for name in ("tiny_task.py", "tiny_methods.py")]
        return {"suite": self.suite, "profile": self.profile, "plugin": files}

    def options(self, results: Path) -> list[str]:
        """The options of `run` that choose all of it."""
        chosen = {"suite": self.suite, "profile": self.profile, "results": results}
        return [*(part for key, value in chosen.items() for part in (f"--{key}", str(value))), *self.plugins]

    def start(
        self,
        *arguments: str,
        program: tuple[str, ...] = ("-m", "bench"),
        first: Callable[[], object] | None = None,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """`python -m bench` in a process and session of its own; first: what that process does before all else."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BENCH_", "TINY_"))}
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=ROOT,
            env={**inherited, "COLUMNS": "200", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=first,
        )

    def bench(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m bench` to its end."""
        with ending(self.start(*arguments, **environment)) as process:
            out, err = process.communicate(timeout=500)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, results: Path, methods: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.bench("run", *self.options(results), "--methods", methods, *more, **environment)


def build(folder: Path) -> TinyGrid:
    """Write all of it into a folder."""
    grid = TinyGrid(folder)
    data = folder / "tiny.tsv"
    data.write_text("".join(f"{split}\t{label}\t{text}\n" for split, label, text in _examples()), encoding="utf-8")
    (folder / "tiny_task.py").write_text(TASK.format(source=str(data)), encoding="utf-8")
    (folder / "tiny_methods.py").write_text(METHODS, encoding="utf-8")
    grid.profile.write_text(PROFILE, encoding="utf-8")
    grid.suite.write_text(SUITE.format(model=str(grid.model)), encoding="utf-8")
    grid.model.mkdir()
    tiny.save(grid.model)
    return grid


def _examples() -> Iterator[tuple[str, int, str]]:
    words = ("the", "film", "is", "very", "a")
    for split, count in (("train", 24), ("validation", 8), ("test", 16)):
        for at in range(count):
            yield split, at % 2, f"{words[at % 5]} {words[at // 5]} {('bad', 'good')[at % 2]} {words[at % 3]} {split}"


def records(results: Path) -> dict[str, dict[str, Any]]:
    """The records of a results folder by method, or by method/seed where a method has more than one."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((results / "records").glob("*.json"))]
    methods = [each["cell"]["method"] for each in found]
    several = len(set(methods)) < len(methods)
    return {f"{e['cell']['method']}/{e['cell']['seed']}" if several else e["cell"]["method"]: e for e in found}


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """The process, killed at the end of the block if it still runs."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
