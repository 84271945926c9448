"""`freeze` and `run --frozen`: what the file says, and that nothing else is let through."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tiny_grid
from commandline import Bench
from made import PROFILE, failed, record
from packaging.requirements import Requirement
from tiny_grid import TinyGrid

from bench import __version__, lockfile
from bench.errors import UsageError
from bench.grid.cell import Cell
from bench.lockfile import Frozen
from bench.measure import environment
from bench.records.record import Record
from bench.records.store import Store
from bench.runner.options import Options
from bench.runner.plan import plan
from bench.runner.request import Request

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


def test_the_file_says_what_the_cells_were_made_with() -> None:
    found = lockfile.freeze(records())
    assert found == Frozen(
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


def test_written_and_read_it_is_the_same(tmp_path: Path) -> None:
    frozen = lockfile.freeze(records())
    (tmp_path / "lock").write_text(frozen.to_toml(4), encoding="utf-8")
    assert lockfile.load(tmp_path / "lock") == frozen


def test_pip_can_read_the_constraints() -> None:
    lines = lockfile.freeze(records()).constraints(4).splitlines()
    told = [line for line in lines if not line.startswith("#")]
    assert {(each.name, str(each.specifier)) for each in map(Requirement, told)} == {
        ("peft", "==0.21.2"),
        ("torch", "==2.13.0+cpu"),
    }
    assert "Python was 3.11.7" in lines[0]
    assert any("--extra-index-url" in line for line in lines)


def test_failed_cells_and_those_of_older_code_do_not_count() -> None:
    old = record("head", 0, of={"code": "older"}, environment=changed(versions={"torch": "2.0"}), finished_at="2025")
    found = lockfile.finished([*records(), failed("bitfit"), old])
    assert sorted(each.id for each in found) == sorted(each.id for each in records())


def test_a_record_that_tells_less_is_no_contradiction() -> None:
    older = record("head", 2, environment={"versions": {"torch": "2.13.0+cpu"}})
    assert lockfile.freeze([*records(), older]).versions == {"peft": "0.21.2", "torch": "2.13.0+cpu"}


def test_an_environment_may_hold_anything() -> None:
    odd: dict[str, Any] = {"versions": "x", "code": 3, "settings": None, "machine": [], "platform": {}, "python": None}
    assert lockfile.freeze([record("head", 3, environment=odd)]).versions == {}
    odd = {"versions": {"torch": 2}, "code": {"commit": 7, "dirty": "no"}, "settings": {"OMP_NUM_THREADS": 1}}
    found = lockfile.freeze([record("head", 3, environment=odd)])
    assert (found.versions, found.commits, found.settings) == ({"torch": "2"}, ["7"], {"OMP_NUM_THREADS": "1"})


CONTRADICTIONS: dict[str, tuple[Record, str]] = {
    "library": (
        record("head", 2, environment=changed(versions={"torch": "2.12.0"})),
        "library torch is 2.12.0 in 1 and 2.13.0+cpu in 4",
    ),
    "Python": (record("head", 2, environment={**ENVIRONMENT, "python": "3.12.1"}), "Python is 3.11.7 in 4 and 3.12.1"),
    "data": (record("lora", 2, of={"task_revision": "tree-sha256:ad"}), "revision of task sms-spam is tree-sha256:aa"),
    "model": (record("lora", 2, of={"model_source": "./other"}), "source of model minilm-l6 is ./minilm in 4 and"),
    "profile": (
        record("ia3", 2, of={"profile": PROFILE.model_copy(update={"eval_batch_size": 7})}),
        'profile cpu is {"name":"cpu"',
    ),
    "code": (record("lora", 2, of={"code": "c3", "variant": "r=4"}), "code of lora on sms-spam is c1 in 1 and c3 in 1"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_cells_made_with_different_things_are_refused(case: str) -> None:
    odd, reason = CONTRADICTIONS[case]
    with pytest.raises(UsageError) as raised:
        lockfile.freeze([*records(), odd])
    assert str(raised.value).startswith("These 5 finished cells were not all made with the same")
    assert reason in str(raised.value)


def test_the_command_writes_both_files(bench: Bench, tmp_path: Path) -> None:
    for each in (*records(), failed("bitfit")):
        Store(tmp_path / "results").write(each)
    lock, constraints = tmp_path / "lock.toml", tmp_path / "constraints.txt"
    done = bench("freeze", tmp_path / "results", "--out", lock, "--constraints", constraints)
    assert done.code == 0, done.err
    assert done.out == f"4 finished cells, 2 libraries, 1 models, 2 tasks: written to {lock} and {constraints}.\n"
    assert tomllib.loads(lock.read_text())["python"] == "3.11.7"
    assert constraints.read_text().splitlines()[-1] == "torch==2.13.0+cpu"
    done = bench("freeze", tmp_path / "results", "--out", lock, "--json")
    assert Frozen(**json.loads(done.out)) == lockfile.load(lock)
    Store(tmp_path / "results").write(record("head", 9, environment=changed(code={"dirty": True})))
    assert "changes that no commit holds" in bench("freeze", tmp_path / "results", "--out", lock).err


def test_nothing_finished_is_nothing_to_freeze(bench: Bench, tmp_path: Path) -> None:
    Store(tmp_path / "results").write(failed())
    done = bench("freeze", tmp_path / "results", "--out", tmp_path / "lock")
    assert (done.code, done.out) == (2, "")
    assert "There is no finished cell" in done.err
    assert not (tmp_path / "lock").exists()


# What is refused

BAD = {
    "missing": (None, "cannot be read (No such file or directory)"),
    "no TOML": ("a = [", "is not TOML ("),
    "not text": (b"\xff\xfe", "is not TOML ("),
    "empty": ("", "bench: Field required"),
    "newer": ("format = 2", "format: Input should be 1"),
    "unknown": ("colour = 'red'", "Field required"),
    "wrong": ("format = 1\nbench = []", "bench: Input should be a valid string"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_sentence(case: str, bench: Bench, tmp_path: Path) -> None:
    content, reason = BAD[case]
    path = tmp_path / "lock.toml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = bench("run", "--frozen", path, "--results", tmp_path / "results")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Error: {path} ")
    assert reason in done.err
    assert len(done.err.splitlines()) == 1


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    """The tiny grid without weights: nothing here trains."""
    return tiny_grid.build(tmp_path_factory.mktemp("grid"), weights=False)


@pytest.fixture
def frozen(grid: TinyGrid) -> Frozen:
    """What a run of the tiny grid on this very machine would be frozen as."""
    here = environment.snapshot()
    cells = planned(grid)
    made = [Record(**{**record().model_dump(), "id": each.id, "cell": each, "environment": here}) for each in cells]
    return lockfile.freeze(made)


def planned(grid: TinyGrid, lock: Path | None = None, **changes: Any) -> list[Cell]:
    """The cells of the tiny grid, with options of the request replaced."""
    options = Options(**{**grid.keywords, "results": grid.folder / "results", "frozen": lock, **changes})
    return plan(Request.of(options)).cells


def written(frozen: Frozen, folder: Path, **changes: Any) -> Path:
    path = folder / "bench.lock.toml"
    path.write_text(frozen.model_copy(update=changes).to_toml(1), encoding="utf-8")
    return path


def test_the_same_is_let_through_and_so_are_other_seeds_and_parameters(
    grid: TinyGrid, frozen: Frozen, tmp_path: Path
) -> None:
    lock = written(frozen, tmp_path)
    assert planned(grid, lock) == planned(grid)
    assert len(planned(grid, lock, methods="steady[width=3]", seeds=[1, 2, 3])) == 3


def refusal(grid: TinyGrid, lock: Path, **changes: Any) -> str:
    with pytest.raises(UsageError) as raised:
        planned(grid, lock, **changes)
    message = str(raised.value)
    assert message.startswith(f"{lock} does not allow this run: ")
    return message


def test_another_program_python_or_library_is_refused(grid: TinyGrid, frozen: Frozen, tmp_path: Path) -> None:
    versions = {
        **frozen.versions,
        "torch": "1.0",
        "no-such-library": "3",
        "Scikit_Learn": frozen.versions["scikit-learn"],
    }
    lock = written(frozen, tmp_path, bench="9.9", python="3.9.1", versions=versions)
    message = refusal(grid, lock)
    here = environment.snapshot()
    for clause in (
        f"bench is 9.9 there and {__version__} here; Python is 3.9.1 there and {here['python']} here; ",
        f"torch is 1.0 there and {here['versions']['torch']} here",
        "no-such-library is 3 there and not installed here",
    ):
        assert clause in message
    assert "Scikit_Learn" not in message  # the same library by another spelling


def test_what_the_file_does_not_know_is_refused(grid: TinyGrid, frozen: Frozen, tmp_path: Path) -> None:
    lock = written(frozen, tmp_path)
    message = refusal(grid, lock, methods="steady,refuses")
    assert "the method refuses on tiny is not in it (there: chatty, steady)" in message
    assert "the profile tiny-cpu-1w" not in message
    other = grid.folder / "other-bert"
    other.mkdir(exist_ok=True)
    (other / "config.json").write_text("{}")
    assert "the model other-bert is not in it (there: tiny-bert)" in refusal(grid, lock, model=str(other))
    assert "the task tiny is not in it (there: none)" in refusal(grid, written(frozen, tmp_path, tasks={}, code={}))
    assert "the profile tiny-cpu is not in it (there: none)" in refusal(grid, written(frozen, tmp_path, profiles={}))


def test_other_sources_settings_and_code_are_refused(grid: TinyGrid, frozen: Frozen, tmp_path: Path) -> None:
    model, task = frozen.models["tiny-bert"], frozen.tasks["tiny"]
    other = written(frozen, tmp_path, models={"tiny-bert": model.model_copy(update={"revision": "tree-sha256:0"})})
    assert f"the model tiny-bert is tree-sha256:0 there and {model.revision} here" in refusal(grid, other)
    other = written(frozen, tmp_path, tasks={"tiny": task.model_copy(update={"source": "hub:datasets/a/b@1"})})
    assert f"the task tiny comes from hub:datasets/a/b@1 there and from {task.source} here" in refusal(grid, other)
    profile = frozen.profiles["tiny-cpu"].model_copy(update={"eval_batch_size": 7})
    message = refusal(grid, written(frozen, tmp_path, profiles={"tiny-cpu": profile}))
    assert "the profile tiny-cpu has other settings there" in message
    message = refusal(grid, written(frozen, tmp_path, code={"tiny": {**frozen.code["tiny"], "chatty": "0"}}))
    assert f"the code of chatty on tiny is 0 there and {frozen.code['tiny']['chatty']} here" in message
    assert "steady" not in message.replace(str(tmp_path), "")


def test_where_a_folder_lies_does_not_matter(grid: TinyGrid, frozen: Frozen, tmp_path: Path) -> None:
    elsewhere = frozen.models["tiny-bert"].model_copy(update={"source": "/somewhere/else/tiny-bert"})
    assert planned(grid, written(frozen, tmp_path, models={"tiny-bert": elsewhere}))


def test_the_text_and_the_planning_of_a_profile_do_not_matter(grid: TinyGrid, frozen: Frozen, tmp_path: Path) -> None:
    profile = frozen.profiles["tiny-cpu"].model_copy(update={"summary": "another text", "memory_mib": 5})
    assert planned(grid, written(frozen, tmp_path, profiles={"tiny-cpu": profile}))


def test_a_refused_run_has_code_2_and_leaves_nothing(
    bench: Bench, grid: TinyGrid, frozen: Frozen, tmp_path: Path
) -> None:
    lock = written(frozen, tmp_path, python="3.9.1")
    done = bench(*("run", *grid.options(tmp_path / "results"), "--frozen", lock))
    assert (done.code, done.out) == (2, "")
    assert "Python is 3.9.1 there" in done.err
    assert not (tmp_path / "results").exists()
