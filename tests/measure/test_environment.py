"""The snapshot: complete, publishable, and never a reason for a run to fail."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.measure import environment

Git = Callable[..., None]


@pytest.fixture
def checkout(tmp_path: Path) -> tuple[Path, Git]:
    """A git repository with one commit, out of reach of the user's own settings."""
    root = tmp_path / "checkout"
    root.mkdir()
    isolated = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    outer = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(root), *who, *arguments]
        subprocess.run(command, check=True, capture_output=True, env=outer | isolated)

    try:
        git("init", "--quiet")
    except OSError:
        pytest.skip("git is not installed")
    (root / "a.py").write_text("a = 1\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    return root, git


def test_the_snapshot_is_complete_and_json() -> None:
    found = environment.snapshot()
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {
        "python", "platform", "container", "machine", "versions", "code", "compute", "settings"
    }  # fmt: skip
    assert found["machine"]["cpu_cores_allowed"] >= 1
    assert found["compute"]["threads"] == torch.get_num_threads()
    assert found["versions"]["torch"][0].isdigit()
    assert "pasta-bench" in found["versions"]


def test_the_snapshot_names_no_host_and_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_KERNEL_CACHE_PATH", str(Path.home() / "kernels"))
    text = json.dumps(environment.snapshot())
    assert str(Path(environment.__file__).parents[2]) not in text
    assert "kernels" not in text
    host = socket.gethostname()
    assert len(host) < 4 or host not in text


def test_settings_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    environment.snapshot()
    shown = {"OMP_NUM_THREADS": "2", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "GLIBC_TUNABLES": "glibc.malloc.mxfast=0"}
    hidden = {"OMP_TOOL_LIBRARIES": "C:\\tools", "HF_TOKEN": "secret"}
    for name, value in (shown | hidden).items():
        monkeypatch.setenv(name, value)
    settings = environment.snapshot()["settings"]
    assert shown.items() <= settings.items()
    assert not hidden.keys() & settings.keys()


UNKNOWN = {"commit": None, "dirty": None}


@pytest.mark.parametrize(
    ("change", "dirty"), [(None, False), ("a.py", True), ("new/b c.py", True), ("notes.txt", False), ("renamed", True)]
)
def test_what_makes_a_checkout_dirty(checkout: tuple[Path, Git], change: str | None, dirty: bool) -> None:
    root, git = checkout
    if change == "renamed":
        git("mv", "a.py", "b.py")
    elif change is not None:
        (root / change).parent.mkdir(exist_ok=True)
        (root / change).write_text("changed\n")
    found = environment.code(root)
    assert len(found["commit"]) == 40
    assert found["dirty"] is dirty


def test_no_other_checkout_and_no_git_say_anything(
    checkout: tuple[Path, Git], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = checkout[0] / "site-packages"  # an installed package may be in another project's checkout
    inside.mkdir()
    for root in (inside, tmp_path, tmp_path / "missing"):
        assert environment.code(root) == UNKNOWN
    monkeypatch.setenv("GIT_DIR", str(checkout[0] / ".git"))  # set while a hook of another repository runs
    assert environment.code(tmp_path) == UNKNOWN
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.code() == UNKNOWN


def test_a_text_names_no_folder_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    root = Path(environment.__file__).parents[2]
    text = (
        'Traceback:\n  File "/home/somebody/work/lib/site-packages/torch/nn/x.py", line 3, in f\n'
        f'  File "{root}/bench/train/cell.py", line 1\n  File "<string>", line 1\n  File "a.py", line 2\n'
        f"FileNotFoundError: /home/somebody/data.csv, {root}/tasks"
    )
    assert environment.anonymous(text) == (
        'Traceback:\n  File ".../torch/nn/x.py", line 3, in f\n'
        '  File ".../bench/train/cell.py", line 1\n  File "<string>", line 1\n  File "a.py", line 2\n'
        "FileNotFoundError: ~/data.csv, ./tasks"
    )
    monkeypatch.setenv("HOME", "/")
    assert environment.anonymous("a/b") == "a/b"


def test_what_is_required_in_turn_is_named_with_what_extras_require(tmp_path: Path) -> None:
    def install(name: str, *requires: str) -> None:
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1", *(f"Requires-Dist: {r}" for r in requires)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")

    install("outer", "inner[more]", "never; python_version < '3'", "??? no name")
    install("inner", "always>=1", "only-more; extra == 'more'", "only-other; extra == 'other'", "Outer")
    for name in ("always", "only_more", "only-other", "never"):
        install(name)
    code = (
        "import json; from bench.measure.environment import versions; print(json.dumps(versions(['outer', 'missing'])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict.fromkeys(("always", "inner", "only-more", "outer"), "1")
    assert list(json.loads(done.stdout).items()) == sorted({**found, "missing": None}.items())  # and no other package


def test_a_container_is_known_by_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APPTAINER_NAME", "SINGULARITY_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert environment.container(tmp_path) is None
    (tmp_path / ".dockerenv").touch()
    assert environment.container(tmp_path) == "docker"
    monkeypatch.setenv("APPTAINER_NAME", "image.sif")
    assert environment.container(tmp_path) == "apptainer"
