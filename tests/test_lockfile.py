"""`freeze` and `run --frozen`: what a lock file holds, and that a run with anything else is refused."""

from __future__ import annotations

import json
import platform
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tiny_grid
from commandline import Bench
from made import PROFILE, failed, record
from packaging.requirements import Requirement

from bench import __version__, lockfile
from bench.errors import UsageError
from bench.lockfile import Lockfile
from bench.measure import environment
from bench.records.record import Record
from bench.records.store import Store

ENVIRONMENT: dict[str, Any] = {
    "python": "3.11.7",
    "platform": "Linux-6.1-x86_64-with-glibc2.36",
    "machine": {"cpu_model": "A CPU", "cpu_cores_allowed": 2, "gpus": []},
    "versions": {"pasta-bench": "0.1.0", "torch": "2.13.0+cpu", "peft": "0.21.2", "gone": None},
    "code": {"commit": "a" * 40, "dirty": False},
    "settings": {"GOMP_SPINCOUNT": "10000", "TOKENIZERS_PARALLELISM": "false"},
}


def changed(**changes: Any) -> dict[str, Any]:
    """The environment with entries of its parts replaced."""
    return {**ENVIRONMENT, **{key: {**ENVIRONMENT[key], **part} for key, part in changes.items()}}


def records() -> list[Record]:
    """Four finished cells of two tasks and two methods, as one folder holds them."""
    other = {"task": "trec", "task_source": "hub:datasets/a/trec@1", "task_revision": "commit:cc", "code": "c2"}
    return [
        record("head", 0, environment=ENVIRONMENT),
        record("head", 1, environment=changed(settings={"OMP_NUM_THREADS": "1"})),
        record("lora", 0, of={"code": "c1"}, environment=ENVIRONMENT),
        record("head", 0, of=other, environment=changed(code={"commit": "b" * 40})),
    ]


# What is written


def test_the_file_says_what_the_cells_were_made_with(tmp_path: Path) -> None:
    found = lockfile.freeze(records())
    assert found == Lockfile(
        bench="0.1.0",
        commits=["a" * 40, "b" * 40],
        dirty=False,
        python="3.11.7",
        platforms=["Linux-6.1-x86_64-with-glibc2.36"],
        machines=["A CPU, 2 cores"],
        settings={"GOMP_SPINCOUNT": "10000", "TOKENIZERS_PARALLELISM": "false"},
        versions={"peft": "0.21.2", "torch": "2.13.0+cpu"},
        models={"minilm-l6": {"source": "./minilm", "revision": "tree-sha256:bb"}},
        tasks={
            "sms-spam": {"source": "./sms.csv", "revision": "tree-sha256:aa"},
            "trec": {"source": "hub:datasets/a/trec@1", "revision": "commit:cc"},
        },
        profiles={"cpu": PROFILE},
        code={"sms-spam": {"head": "0123456789abcdef", "lora": "c1"}, "trec": {"head": "c2"}},
    )
    (tmp_path / "lock").write_text(found.to_toml(4), encoding="utf-8")
    assert lockfile.load(tmp_path / "lock") == found


def test_pip_can_read_the_constraints() -> None:
    lines = lockfile.freeze(records()).constraints(4).splitlines()
    found = [Requirement(line) for line in lines if not line.startswith("#")]
    assert [(each.name, str(each.specifier)) for each in found] == [("peft", "==0.21.2"), ("torch", "==2.13.0+cpu")]
    assert "Python was 3.11.7" in lines[0]
    assert any("--extra-index-url" in line for line in lines)


def test_failed_cells_and_those_of_older_code_do_not_count() -> None:
    old = record("head", 0, of={"code": "older"}, environment=changed(versions={"torch": "2.0"}), finished_at="2025")
    found = lockfile.finished([*records(), failed("bitfit"), old])
    assert sorted(each.id for each in found) == sorted(each.id for each in records())


def test_an_environment_may_hold_anything() -> None:
    odd: dict[str, Any] = {"versions": "x", "code": 3, "settings": None, "machine": [], "platform": {}, "python": None}
    assert lockfile.freeze([record("head", 3, environment=odd)]).versions == {}
    odd = {"versions": {"torch": 2}, "code": {"commit": 7, "dirty": "no"}, "settings": {"OMP_NUM_THREADS": 1}}
    found = lockfile.freeze([record("head", 3, environment=odd)])
    assert (found.versions, found.commits, found.settings) == ({"torch": "2"}, ["7"], {"OMP_NUM_THREADS": "1"})


OTHER_PROFILE = PROFILE.model_copy(update={"eval_batch_size": 7})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"environment": changed(versions={"torch": "2.12.0"})},
            "versions.torch is 2.13.0+cpu in some cells",
        ),
        ({"environment": {"python": "3.12.1"}}, "python is 3.11.7 in some cells and 3.12.1 in "),
        ({"of": {"task_revision": "tree-sha256:ad"}}, "tasks.sms-spam.revision is tree-sha256:aa in some cells"),
        ({"of": {"model_source": "./other"}}, "models.minilm-l6.source is ./minilm in some cells and ./other in "),
        ({"of": {"profile": OTHER_PROFILE}}, "profiles.cpu.eval_batch_size is "),
        ({"of": {"code": "c3", "variant": "r=4"}}, "code.sms-spam.lora is c1 in some cells and c3 in "),
    ],
)
def test_cells_made_with_different_things_are_refused(changes: dict[str, Any], reason: str) -> None:
    odd = record("lora", 2, **{"of": {"code": "c1"}, **changes})
    with pytest.raises(UsageError) as raised:
        lockfile.freeze([*records(), odd])
    assert str(raised.value).startswith(f"These 5 finished cells were not all made with the same: {reason}")
    assert odd.id in str(raised.value)


def test_the_command_writes_both_files(bench: Bench, tmp_path: Path) -> None:
    for each in (*records(), failed("bitfit")):
        Store(tmp_path / "results").write(each)
    lock, constraints = tmp_path / "lock.toml", tmp_path / "constraints.txt"
    done = bench("freeze", tmp_path / "results", "--out", lock, "--constraints", constraints)
    assert done.code == 0, done.err
    assert done.out == f"4 finished cells, 2 libraries, 1 models, 2 tasks: written to {lock} and {constraints}.\n"
    assert tomllib.loads(lock.read_text())["python"] == "3.11.7"
    assert constraints.read_text().splitlines()[-1] == "torch==2.13.0+cpu"
    Store(tmp_path / "results").write(record("head", 9, environment=changed(code={"dirty": True})))
    done = bench("freeze", tmp_path / "results", "--out", lock, "--json")
    assert Lockfile(**json.loads(done.out)) == lockfile.load(lock)
    assert "uncommitted changes" in done.err


# What is refused


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"a = [", "is not TOML ("),
        (b"\xff\xfe", "is not TOML ("),
        (b"format = 2", "is not a lock file: format: Input should be 1"),
    ],
)
def test_a_bad_file_is_one_sentence(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "lock.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        lockfile.load(path)
    assert str(raised.value).startswith(f"{path} ")
    assert reason in str(raised.value)


def refusal(require: Any, *arguments: Any) -> str:
    with pytest.raises(UsageError, match=r"^lock does not allow this run: ") as raised:
        require(Path("lock"), *arguments)
    return str(raised.value)


def test_another_program_python_or_library_is_refused() -> None:
    python, versions = platform.python_version(), environment.versions(["torch", "scikit-learn"])
    same = {**versions, "Scikit_Learn": versions["scikit-learn"]}  # the same library by another spelling
    lock = lockfile.freeze(records()).model_copy(update={"bench": __version__, "python": python, "versions": same})
    lockfile.require_environment(Path("lock"), lock)
    other = {"bench": "9.9", "python": "3.9.1", "versions": {**same, "torch": "1.0", "no-such-library": "3"}}
    assert refusal(lockfile.require_environment, lock.model_copy(update=other)) == (
        f"lock does not allow this run: bench is 9.9 in the file and {__version__} here; python is 3.9.1 in the file "
        f"and {python} here; versions.torch is 1.0 in the file and {versions['torch']} here; versions.no-such-library "
        "is 3 in the file and missing here. Install what `freeze --constraints FILE` writes, with that Python."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"params": {"r": 4}, "variant": "r=4"},
        {"task_source": "/elsewhere/sms.csv", "model_source": "/elsewhere/minilm"},
        {"profile": PROFILE.model_copy(update={"summary": "another text", "memory_mib": 5})},
    ],
)
def test_other_seeds_parameters_folders_and_texts_are_allowed(changes: dict[str, Any]) -> None:
    cells = [record("head", 7, of=changes).cell, *(each.cell for each in records())]
    lockfile.require_cells(Path("lock"), lockfile.freeze(records()), cells)


@pytest.mark.parametrize(
    ("method", "changes", "reason"),
    [
        ("ia3", {}, "the method ia3 on sms-spam is not in it (there: head, lora)"),
        ("head", {"model": "other-bert"}, "the model other-bert is not in it (there: minilm-l6)"),
        ("head", {"profile": PROFILE.model_copy(update={"name": "mine"})}, "the profile mine is not in it (there: cpu"),
        ("head", {"model_revision": "tree-sha256:0"}, "models.minilm-l6.revision is tree-sha256:bb in the file and "),
        (
            "head",
            {"task_source": "hub:datasets/a/b@1"},
            "tasks.sms-spam.source is a local path in the file and hub:datasets/a/b@1 here",
        ),
        (
            "head",
            {"profile": OTHER_PROFILE},
            f"profiles.cpu.eval_batch_size is {PROFILE.eval_batch_size} in the file and 7 here",
        ),
        ("lora", {"code": "0"}, "code.sms-spam.lora is c1 in the file and 0 here. Check out commit " + "a" * 40),
    ],
)
def test_anything_else_is_refused(method: str, changes: dict[str, Any], reason: str) -> None:
    lock = lockfile.freeze(records())
    cells = [record(method, 7, of={"code": lock.code["sms-spam"].get(method, "c"), **changes}).cell]
    assert refusal(lockfile.require_cells, lock, cells).startswith(f"lock does not allow this run: {reason}")


def test_a_refused_run_has_code_2_and_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    grid = tiny_grid.build(tmp_path)
    here = {"bench": __version__, "python": platform.python_version(), "versions": {}}
    for changes, reason in (
        ({**here, "python": "3.9.1"}, "python is 3.9.1 in the file"),
        (here, "the task tiny is not in it (there: sms-spam, trec)"),
    ):
        lock = tmp_path / "bench.lock.toml"
        lock.write_text(lockfile.freeze(records()).model_copy(update=changes).to_toml(4), encoding="utf-8")
        done = bench("run", *grid.options(tmp_path / "results"), "--frozen", lock)
        assert (done.code, done.out) == (2, "")
        assert f"Error: {lock} does not allow this run: " in done.err
        assert reason in done.err
        assert not (tmp_path / "results").exists()
