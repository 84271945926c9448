"""Results reproduced by someone else: another checkout of the same commit, other folders, another user's cache.

Each checkout is a real clone, and each command a process of its own in it.
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

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Checkout:
    """A clone, and the home of the user who works in it."""

    folder: Path
    home: Path

    def bench(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        hidden = ("BENCH_", "TINY_", "XDG")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        return subprocess.run(
            [sys.executable, "-m", "bench", *map(str, arguments)],
            cwd=self.folder,
            env={**inherited, "HOME": str(self.home), "COLUMNS": "200", "TINY_CURED": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def git(folder: Path, *arguments: str) -> str:
    user = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    outer = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    isolated = {**outer, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(folder), *user, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=isolated).stdout.strip()


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


def clone(origin: Path, folder: Path) -> Checkout:
    (folder / "home").mkdir(parents=True)
    git(folder, "clone", "--quiet", str(origin), "checkout")
    return Checkout(folder / "checkout", folder / "home")


@dataclass(frozen=True)
class Published:
    """Results of three cells, their lock file and plugins; model and data are not where they were."""

    folder: Path
    data: Path  # where the data was

    @property
    def record(self) -> Path:
        return next((self.folder / "records").iterdir())

    @property
    def plugins(self) -> list[object]:
        return ["--plugin", self.folder / "tiny_task.py", "--plugin", self.folder / "tiny_methods.py"]

    @property
    def copies(self) -> list[object]:
        return ["--copy", self.folder / "mine" / "tiny.tsv", "--copy", self.folder / "mine" / "tiny-bert"]


@pytest.fixture(scope="module")
def published(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder, public = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("public")
    grid = tiny_grid.build(folder)
    first, results = clone(origin, folder / "one"), folder / "results"
    done = first.bench("run", *grid.options(results), "--methods", "pasta,lora[r=2],steady", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    done = first.bench("freeze", results, "--out", public / "bench.lock.toml")
    assert done.returncode == 0, done.stderr
    assert "uncommitted changes" not in done.stderr
    for name in ("tiny_task.py", "tiny_methods.py", "tiny-cpu.toml"):
        shutil.copy(folder / name, public / name)
    shutil.copytree(results / "records", public / "records")
    (public / "mine").mkdir()
    for name in ("tiny-bert", "tiny.tsv"):
        shutil.move(folder / name, public / "mine" / name)
    return Published(public, folder / "tiny.tsv")


def test_random_cells_are_the_same_in_another_checkout(published: Published, origin: Path, tmp_path: Path) -> None:
    other = clone(origin, tmp_path)
    options = ("--results", published.folder, *published.plugins)
    done = other.bench("verify", "--random", 10, *options, *published.copies, "--json")
    assert done.returncode == 0, done.stderr
    assert [each["differences"] for each in json.loads(done.stdout)] == [[]] * 3
    assert git(other.folder, "status", "--porcelain") == ""

    done = other.bench("verify", published.record.stem, *options, *published.copies[:2])
    assert done.returncode == 2
    cell = json.loads(published.record.read_text())["cell"]
    assert f"There is no file or folder {cell['model_source']}. Give a copy of it with --copy PATH" in done.stderr
    assert cell["model_revision"] in done.stderr


def test_a_lock_file_allows_another_checkout_and_not_other_code(
    published: Published, origin: Path, tmp_path: Path
) -> None:
    other, commit = clone(origin, tmp_path), git(origin, "rev-parse", "HEAD")
    chosen = {"tasks": "tiny", "model": published.copies[3], "profile": published.folder / "tiny-cpu.toml", "seeds": 1}
    more = {**chosen, "frozen": published.folder / "bench.lock.toml", "results": tmp_path / "results"}
    options = [part for name, value in more.items() for part in (f"--{name}", value)]
    run = ("run", *published.plugins, *options, "--dry-run", "--methods")
    shutil.copy(published.folder / "mine" / "tiny.tsv", published.data)
    method = other.folder / "methods" / "pasta" / "vectors.py"
    try:
        assert other.bench(*run, "pasta,lora[r=4]").returncode == 0
        refused = other.bench(*run, "bitfit")
        assert refused.returncode == 2
        assert "the method bitfit on tiny is not in it (there: lora, pasta, steady)" in refused.stderr
        method.write_text(method.read_text() + "\n\nADDED = 1\n")
        refused = other.bench(*run, "pasta")
        assert refused.returncode == 2
        assert "code.tiny.pasta is " in refused.stderr
        assert f"Check out commit {commit}" in refused.stderr
    finally:
        published.data.unlink()

    git(other.folder, "commit", "--quiet", "-a", "-m", "another constant")
    method.write_text(method.read_text().replace("ADDED = 1", "ADDED = 2"))
    records = [json.loads(path.read_text()) for path in (published.folder / "records").iterdir()]
    cell = next(record["id"] for record in records if record["cell"]["method"] == "pasta")
    done = other.bench("verify", cell, "--results", published.folder, *published.plugins, *published.copies)
    assert done.returncode == 2
    here = git(other.folder, "rev-parse", "HEAD")
    assert f"code.commit is {commit} in the record and {here} here; this checkout has uncommitted" in done.stderr
    assert f"Check out commit {commit} and install" in done.stderr
