"""Results reproduced by someone else: another checkout of the same commit, other folders, another user's cache.

Each checkout is a real clone, and each command a process of its own in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_grid

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def environment(*hidden: str, **changes: object) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**inherited, **{name: str(value) for name, value in changes.items()}}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments]
    isolated = environment("GIT_", GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM=1)
    return subprocess.run(command, check=True, capture_output=True, text=True, env=isolated).stdout.strip()


def bench(checkout: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m bench` of a checkout, whose parent is the user's home."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        cwd=checkout,
        env=environment("BENCH_", "TINY_", "XDG", HOME=checkout.parent, COLUMNS=200, TINY_CURED=1),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


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


def clone(origin: Path, folder: Path) -> Path:
    folder.mkdir()
    git(folder, "clone", "--quiet", str(origin), "checkout")
    return folder / "checkout"


@pytest.fixture(scope="module")
def published(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of three cells, their lock file and plugins; model and data are no longer where they were."""
    folder = tmp_path_factory.mktemp("first")
    grid, checkout = tiny_grid.build(folder), clone(origin, folder / "home")
    options = grid.options(folder / "results")
    done = bench(checkout, "run", *options, "--methods", "pasta,lora[r=2],steady", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    done = bench(checkout, "freeze", folder / "results", "--out", folder / "bench.lock.toml")
    assert done.returncode == 0, done.stderr
    assert "uncommitted changes" not in done.stderr
    (folder / "moved").mkdir()
    for name in ("tiny-bert", "tiny.tsv"):
        shutil.move(folder / name, folder / "moved" / name)
    return folder


def test_cells_are_the_same_in_another_checkout(published: Path, origin: Path, tmp_path: Path) -> None:
    checkout, model, data = clone(origin, tmp_path / "home"), *sorted((published / "moved").iterdir())
    options = ["--results", published / "results"]
    options += [part for name in ("task", "methods") for part in ("--plugin", published / f"tiny_{name}.py")]
    done = bench(checkout, "verify", "--random", 10, *options, "--copy", data, "--copy", model, "--json")
    assert done.returncode == 0, done.stderr
    assert [each["differences"] for each in json.loads(done.stdout)] == [[]] * 3
    assert git(checkout, "status", "--porcelain") == ""

    records = [json.loads(path.read_text()) for path in (published / "results" / "records").iterdir()]
    record = next(each for each in records if each["cell"]["method"] == "pasta")
    done = bench(checkout, "verify", record["id"], *options, "--copy", data)
    assert done.returncode == 2
    source, revision = record["cell"]["model_source"], record["cell"]["model_revision"]
    assert f"There is no file or folder {source}. Give a copy of it with --copy PATH" in done.stderr
    assert revision in done.stderr

    method, commit = checkout / "methods" / "pasta" / "vectors.py", git(origin, "rev-parse", "HEAD")
    method.write_text(method.read_text() + "\n\nADDED = 1\n")
    git(checkout, "commit", "--quiet", "-a", "-m", "another constant")
    method.write_text(method.read_text().replace("ADDED = 1", "ADDED = 2"))
    done = bench(checkout, "verify", record["id"], *options, "--copy", data, "--copy", model)
    assert done.returncode == 2
    here = git(checkout, "rev-parse", "HEAD")
    assert f"code.commit is {commit} in the record and {here} here; this checkout has uncommitted" in done.stderr
    assert f"Check out commit {commit} and install" in done.stderr


def test_a_lock_file_allows_another_checkout_and_not_other_code(published: Path, origin: Path, tmp_path: Path) -> None:
    checkout = clone(origin, tmp_path / "home")
    options: list[object] = ["--plugin", published / "tiny_methods.py", "--results", tmp_path / "results", "--dry-run"]
    options += ["--plugin", published / "tiny_task.py", "--tasks", "tiny", "--seeds", 1]
    options += ["--model", published / "moved" / "tiny-bert", "--profile", published / "tiny-cpu.toml"]
    options += ["--frozen", published / "bench.lock.toml", "--methods"]
    shutil.copy(published / "moved" / "tiny.tsv", published / "tiny.tsv")
    assert bench(checkout, "run", *options, "pasta,lora[r=4]").returncode == 0
    method = checkout / "methods" / "pasta" / "vectors.py"
    method.write_text(method.read_text() + "\n\nADDED = 1\n")
    refused = bench(checkout, "run", *options, "pasta")
    assert refused.returncode == 2
    assert "code.tiny.pasta is " in refused.stderr
    assert f"Check out commit {git(origin, 'rev-parse', 'HEAD')}" in refused.stderr
