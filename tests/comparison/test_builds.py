"""End to end: copies of this project with one line made wrong are run and compared with the honest one.

Real processes and real training, on a model of three layers and made-up sentences that PASTA learns and the head
alone does not. No time is asserted.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny
import tiny_grid

from bench.comparison import noise
from bench.comparison.judge import Judgement, compare_runs
from bench.records.store import Store

ROOT = Path(__file__).parents[2]

# What is replaced by what, in which file: a change that a pull request may make.
PATCHES = {
    "vectors not added": (
        "methods/pasta/attachment.py",
        "return hidden.index_put((rows, self._positions), self._drop(vectors), accumulate=True)",
        "return hidden",
    ),
    "learning rate zero": (
        "bench/train/loop.py",
        "rate = (recipe.head_learning_rate if is_head else None) or recipe.learning_rate",
        "rate = 0.0",
    ),
}
SUITE = """
name = "tiny-ci"
summary = "for tests"
methods = ["pasta", "head"]
tasks = ["tiny"]
seeds = [0, 1, 2]
model = {model!r}
[budget]
validation_examples = 0
[recipes.pasta]
learning_rate = 3e-2
epochs = 20
batch_size = 16
chosen_by = "a test"
[recipes.head]
epochs = 20
batch_size = 16
chosen_by = "a test"
"""
WORDS = ("the", "film", "is", "very", "and", "of", "play", "street", "road", *"abcdefgh")


@pytest.mark.parametrize("name", PATCHES)
def test_each_patch_applies(name: str) -> None:
    file, old, _ = PATCHES[name]
    assert (ROOT / file).read_text(encoding="utf-8").count(old) == 1


class Grid(NamedTuple):
    """A suite, a profile and a task in files, and `python -m bench` of any copy of the project with them."""

    folder: Path

    def bench(self, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
        command = [sys.executable, "-m", "bench", *arguments]
        return subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=580, check=False
        )

    def options(self, results: Path) -> list[str]:
        chosen = {"suite": "tiny-ci.toml", "profile": "tiny-cpu.toml", "plugin": "tiny_task.py"}
        return [*(p for k, v in chosen.items() for p in (f"--{k}", str(self.folder / v))), "--results", str(results)]

    def run(self, patch: str) -> Path:
        """The results of a copy with a patch."""
        folder = self.folder / patch.replace(" ", "-")
        for part in ("bench", "methods", "tasks", "suites"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        file, old, new = PATCHES[patch]
        (folder / file).write_text((folder / file).read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        done = self.bench(folder, "run", *self.options(folder / "results"))
        assert done.returncode == 0, done.stderr
        return folder / "results"

    def compare(self, base: Path, new: Path, *more: str) -> tuple[int, set[tuple[str, str]], dict[str, Any]]:
        """Exit code, methods with the figures that got worse, and the whole output."""
        done = self.bench(ROOT, "compare", str(base), str(new), "--json", *more)
        assert done.returncode in (0, 1), done.stderr
        found = json.loads(done.stdout)
        worse = {(c["method"], c["quantity"]) for c in found["comparisons"] if c["outcome"] == "regression"}
        return done.returncode, worse, found


def examples() -> Iterator[tuple[str, int, str]]:
    """Three words, one of which is good or bad."""
    draw = random.Random(0)
    for split, count in (("train", 256), ("validation", 8), ("test", 200)):
        for at in range(count):
            words = draw.choices(WORDS, k=3)
            words[draw.randrange(3)] = ("bad", "good")[at % 2]
            yield split, at % 2, " ".join(words)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    folder = tmp_path_factory.mktemp("builds")
    data = folder / "tiny.tsv"
    data.write_text("".join(f"{split}\t{label}\t{text}\n" for split, label, text in examples()), encoding="utf-8")
    (folder / "tiny_task.py").write_text(tiny_grid.TASK.format(source=str(data)), encoding="utf-8")
    (folder / "tiny-cpu.toml").write_text(tiny_grid.PROFILE, encoding="utf-8")
    (folder / "tiny-ci.toml").write_text(SUITE.format(model=str(tiny.save(folder / "tiny-bert"))), encoding="utf-8")
    return Grid(folder)


@pytest.fixture(scope="module")
def aa(grid: Grid) -> Path:
    """Three runs of the honest build, and the noise that they show."""
    done = grid.bench(ROOT, "noise", *grid.options(grid.folder / "aa"), "--repeats", "3")
    assert done.returncode == 0, done.stderr
    return grid.folder / "aa"


@pytest.mark.slow
def test_the_same_commit_is_never_worse_than_itself(aa: Path) -> None:
    records = [Store(aa / f"run-{at}").all()[0] for at in range(1, 4)]
    known = noise.load(aa / noise.FILE)
    for base, new in combinations(records, 2):
        found, blind = compare_runs(base, new, noise=known), compare_runs(base, new)
        assert found.regressions == []
        # Without the noise, a machine that was much slower all through a run passes for a slower loop.
        assert {each.measure.same for each in blind.regressions if isinstance(each, Judgement)} <= {"machine"}
        assert blind.events == []
        for each in (found, blind):
            scores = [judgement for judgement in each.judgements if judgement.measure.name == "score"]
            assert [(score.change, score.p_value) for score in scores] == [(0.0, None)] * 2  # to the bit


@pytest.mark.slow
def test_a_method_or_a_loop_that_no_longer_trains_is_named(grid: Grid, aa: Path) -> None:
    known = ("--noise", str(aa / noise.FILE))
    code, worse, _ = grid.compare(aa / "run-1", grid.run("vectors not added"), *known)
    assert code == 1
    assert {method for method, name in worse if name == "score"} == {"pasta"}
    code, worse, found = grid.compare(aa / "run-1", grid.run("learning rate zero"), *known)
    assert code == 1
    assert {("pasta", "score"), ("head", "score")} <= worse
    events = [(row["method"], row["event"], row["regression"]) for row in found["rows"]]
    assert events == [("head", "void", True), ("pasta", "void", True)]
