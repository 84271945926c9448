"""A stranger's part: the same commit in another checkout, other folders, another user's cache; and the same numbers.

Real clones of one repository, each run as a process of its own from its own folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_grid
from tiny_grid import TinyGrid

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Place:
    """A clone, and the home of whoever works in it."""

    checkout: Path
    home: Path

    def bench(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("BENCH_", "TINY_", "XDG"))
        }
        return subprocess.run(
            [sys.executable, "-m", "bench", *map(str, arguments)],
            cwd=self.checkout,
            env={**inherited, "HOME": str(self.home), "COLUMNS": "200", "TINY_CURED": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def git(self, *arguments: str) -> str:
        return git(self.checkout, *arguments)


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    outer = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    isolated = {**outer, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=isolated).stdout.strip()


@dataclass(frozen=True)
class Published:
    """What the first one left: results, lock and the plugins, but neither model nor data where they were."""

    results: Path
    lock: Path
    constraints: Path
    plugins: list[str]
    copies: list[str]
    profile: Path
    commit: str
    cells: int


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of this very code, as it is now."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path_factory.mktemp("origin")
    for name in ("bench", "methods", "tasks", "suites"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "all of it")
    return root


def clone(origin: Path, folder: Path) -> Place:
    (folder / "home").mkdir(parents=True)
    git(folder, "clone", "--quiet", str(origin), "checkout")
    return Place(folder / "checkout", folder / "home")


@pytest.fixture(scope="module")
def published(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("first")
    grid: TinyGrid = tiny_grid.build(folder)
    place, results = clone(origin, folder / "one"), folder / "results"
    options = grid.options(results)
    done = place.bench("run", *options, "--methods", "pasta,lora[r=2],steady", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    lock, constraints = folder / "bench.lock.toml", folder / "constraints.txt"
    done = place.bench("freeze", results, "--out", lock, "--constraints", constraints)
    assert done.returncode == 0, done.stderr
    assert "changes that no commit holds" not in done.stderr
    public = tmp_path_factory.mktemp("public")
    files = ("tiny_task.py", "tiny_methods.py", "tiny-cpu.toml", "bench.lock.toml", "constraints.txt")
    for name in files:
        shutil.copy(folder / name, public / name)
    shutil.copytree(results / "records", public / "results" / "records")
    (public / "mine").mkdir()
    copies = [shutil.move(folder / name, public / "mine" / name) for name in ("tiny-bert", "tiny.tsv")]
    return Published(
        results=public / "results",
        lock=public / "bench.lock.toml",
        constraints=public / "constraints.txt",
        plugins=[part for name in files[:2] for part in ("--plugin", str(public / name))],
        copies=[part for path in copies for part in ("--copy", str(path))],
        profile=public / "tiny-cpu.toml",
        commit=place.git("rev-parse", "HEAD"),
        cells=3,
    )


@pytest.fixture(scope="module")
def stranger(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return clone(origin, tmp_path_factory.mktemp("second"))


def test_cells_drawn_by_chance_come_out_the_same_in_another_clone(published: Published, stranger: Place) -> None:
    options = ("--results", published.results, *published.plugins, *published.copies, "--json")
    done = stranger.bench("verify", "--random", 10, *options)
    assert done.returncode == 0, done.stderr
    verdicts = json.loads(done.stdout)
    assert len(verdicts) == published.cells
    assert [each["differences"] for each in verdicts] == [[]] * published.cells
    assert stranger.git("status", "--porcelain") == ""


def test_what_is_not_there_is_told_by_its_content(published: Published, stranger: Place) -> None:
    cell = next((published.results / "records").iterdir())
    record = json.loads(cell.read_text())
    done = stranger.bench(
        "verify", cell.stem, "--results", published.results, *published.plugins, *published.copies[2:]
    )
    assert done.returncode == 2
    source, revision = record["cell"]["model_source"], record["cell"]["model_revision"]
    assert f"There is no file or folder {source}. Give a copy of it with --copy PATH" in done.stderr
    assert revision in done.stderr


def test_a_frozen_run_goes_on_in_another_clone_and_not_with_other_code(
    published: Published, origin: Path, tmp_path: Path
) -> None:
    place = clone(origin, tmp_path)
    model = ("--model", published.copies[1], "--profile", published.profile, "--seeds", 1, "--frozen", published.lock)
    run = ("run", *published.plugins, "--tasks", "tiny", *model, "--results", tmp_path / "results", "--dry-run")

    source = tiny_source(Path(published.plugins[1]))
    shutil.copy(published.copies[3], source)
    try:
        assert place.bench(*run, "--methods", "pasta,lora[r=4]").returncode == 0
        refused = place.bench(*run, "--methods", "bitfit")
        assert refused.returncode == 2
        assert "the method bitfit on tiny is not in it (there: lora, pasta, steady)" in refused.stderr
        changed = place.checkout / "bench" / "training.py"
        changed.write_text(changed.read_text().replace("REPORT_SECONDS = 0.5", "REPORT_SECONDS = 0.25"))
        refused = place.bench(*run, "--methods", "pasta")
        assert refused.returncode == 2
        assert "the code of pasta on tiny is " in refused.stderr
        assert f"Check out commit {published.commit}" in refused.stderr
    finally:
        source.unlink()

    place.git("commit", "--quiet", "-a", "-m", "another rhythm")
    changed.write_text(changed.read_text().replace("REPORT_SECONDS = 0.25", "REPORT_SECONDS = 0.125"))
    cell = next((published.results / "records").iterdir()).stem
    done = place.bench("verify", cell, "--results", published.results, *published.plugins, *published.copies)
    assert done.returncode == 2
    here = place.git("rev-parse", "HEAD")
    assert f"the commit was {published.commit} and is {here}; this checkout has changes that no commit" in done.stderr
    assert f"Check out commit {published.commit} and install" in done.stderr


def tiny_source(task: Path) -> Path:
    """Where the tiny task's plugin says that its data is."""
    line = next(line for line in task.read_text().splitlines() if line.strip().startswith("source = "))
    return Path(line.partition("'")[2].rpartition("'")[0])
