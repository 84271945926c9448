"""The whole way: builds of this project with one line made wrong, run, and compared with the honest one.

Real processes and real training, on a model of three layers and made-up sentences that PASTA learns and the head
alone does not. Minutes, so all of it is slow. No time is asserted: where the machine is too loud to see a loop that
takes 30 % longer, by what it showed of itself, that one test is skipped.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import builds
import pytest
import tiny
import tiny_grid

from bench.comparison import noise
from bench.comparison.judging import Judgement, compare
from bench.records.store import Store

pytestmark = pytest.mark.slow

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


class Grid(NamedTuple):
    folder: Path

    def bench(self, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m bench` of the project at this root."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
        command = [sys.executable, "-m", "bench", *arguments]
        return subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=580, check=False
        )

    def options(self, results: Path) -> list[str]:
        chosen = {"suite": "tiny-ci.toml", "profile": "tiny-cpu.toml", "plugin": "tiny_task.py"}
        return [*(p for k, v in chosen.items() for p in (f"--{k}", str(self.folder / v))), "--results", str(results)]

    def compared(self, base: Path, new: Path, *more: str) -> tuple[int, dict[str, Any]]:
        done = self.bench(builds.ROOT, "compare", str(base), str(new), "--json", *more)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)


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
    """Five runs of the honest build, and the noise that they show."""
    done = grid.bench(builds.ROOT, "noise", *grid.options(grid.folder / "aa"), "--repeats", "5")
    assert done.returncode == 0, done.stderr
    return grid.folder / "aa"


def run(grid: Grid, name: str, attempt: str = "once") -> Path:
    """The results of a build."""
    folder = grid.folder / attempt / name.replace(" ", "-")
    results = folder / "results"
    done = grid.bench(builds.build(name, folder / "source"), "run", *grid.options(results))
    assert done.returncode == 0, done.stderr
    return results


def _of_speed(found: object) -> bool:
    return isinstance(found, Judgement) and found.quantity.alike == "machine"


def worse(found: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["method"], each["quantity"]) for each in found["comparisons"] if each["outcome"] == "regression"}


def test_the_same_commit_is_never_worse_than_itself(aa: Path) -> None:
    records = [Store(aa / f"run-{at}").all()[0] for at in range(1, 6)]
    known = noise.load(aa / noise.FILE)
    pairs = list(combinations(records, 2))
    assert len(pairs) == 10
    for base, new in pairs:
        report = compare(base, new, noise=known)
        assert report.verdict == "no regression", [*report.alarms, *report.of("regression")]
        # Without the noise, a machine that was much slower all through a run passes for a slower loop.
        blind = compare(base, new)
        assert not [each for each in (*blind.alarms, *blind.of("regression")) if not _of_speed(each)]
        for each_report in (report, blind):
            scores = [each for each in each_report.judgements if each.quantity.name == "score"]
            assert [each.change for each in scores] == [0.0, 0.0]
            assert [each.p_value for each in scores] == [None, None]  # to the bit


def test_a_second_noise_run_has_nothing_left_to_do(grid: Grid, aa: Path) -> None:
    before = (aa / noise.FILE).read_bytes()
    done = grid.bench(builds.ROOT, "noise", *grid.options(aa), "--repeats", "5", "--json")
    assert done.returncode == 0
    assert done.stderr.count("6 of them finished already") == 5
    assert (aa / noise.FILE).read_bytes() == before
    assert json.loads(done.stdout) == json.loads(before)


def test_a_pasta_whose_vectors_are_not_added_is_named(grid: Grid, aa: Path) -> None:
    code, found = grid.compared(aa / "run-1", run(grid, "vectors not added"), "--noise", str(aa / noise.FILE))
    assert code == 1
    assert ("pasta", "score") in worse(found)
    assert {method for method, quantity in worse(found) if quantity == "score"} == {"pasta"}


def test_a_learning_rate_of_zero_is_named(grid: Grid, aa: Path) -> None:
    code, found = grid.compared(aa / "run-1", run(grid, "learning rate zero"), "--noise", str(aa / noise.FILE))
    assert code == 1
    assert {("pasta", "score"), ("head", "score")} <= worse(found)
    assert [(row["method"], row["event"], row["regression"]) for row in found["rows"]] == [
        ("head", "void", True), ("pasta", "void", True),
    ]  # fmt: skip


def test_a_loop_that_takes_30_percent_longer_is_named(grid: Grid) -> None:
    """Run right after the honest build, and by the spread over seeds alone; three times, for a quiet moment."""
    why = []
    for attempt in range(3):
        before, after = (run(grid, name, f"attempt-{attempt}") for name in ("nothing changed", "loop 30 % slower"))
        code, found = grid.compared(before, after)
        assert not any(quantity == "score" for _, quantity in worse(found))
        speed = [each for each in found["comparisons"] if each["quantity"] == "train_examples_per_second"]
        if "train_examples_per_second" in {quantity for _, quantity in worse(found)}:
            assert code == 1
            return
        loud = [each["reason"] or f"it hides changes of {each['detectable']:.0%}" for each in speed
                if each["outcome"] == "not judged" or each["detectable"] > 0.12]  # fmt: skip
        assert len(loud) == len(speed), speed
        why += loud
    pytest.skip(f"this machine is too loud just now: {'; '.join(why)}")


@pytest.mark.parametrize("name", builds.BUILDS)
def test_each_patch_still_finds_its_line(name: str, tmp_path: Path) -> None:
    assert (builds.build(name, tmp_path / "copy") / "bench" / "training.py").is_file()
