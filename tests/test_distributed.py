"""Several processes in one cell, on this machine's CPU with gloo: the same training as by one process, and its ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed_cases
import psutil
import pytest
import tiny_grid
import torch
from distributed_cases import CASES, Case
from made import PROFILE, cell
from safetensors.torch import load_file
from tiny_grid import TinyGrid, records

from bench.errors import NotApplicable
from bench.profiles import Profile, check, load
from bench.profiles.probe import Gpu, probe
from bench.records.record import Record
from bench.runner.plan import plan
from bench.runner.request import ask
from bench.train.cell import run
from bench.train.data import Batch
from bench.train.distributed import RankFault, Ranks, Team

ROOT = Path(__file__).parents[1]
RANKS = 2
# Sums of float32 in another order: a few units of the last place (6e-8) each, made larger by some steps of AdamW.
# Measured: losses are off by up to 5e-7, weights by up to 4e-7, logits by up to 1.2e-6.
TOLERANCE = 5e-6


# The same training


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """What each of two ranks has made of every case."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    processes = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "tests/distributed_cases.py"), *map(str, (rank, RANKS, port, out))],
            env={**os.environ, "PYTHONPATH": path},
        )
        for rank in range(RANKS)
        for out in [folder / f"{rank}.pt"]
    ]
    try:
        assert [process.wait(300) for process in processes] == [0] * RANKS
    finally:
        for process in processes:
            process.kill()
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_losses_and_weights_are_those_of_one_process(shared: list[list[dict[str, Any]]], case: Case) -> None:
    alone = distributed_cases.train(case, Team())
    for rank in shared:
        found = rank[CASES.index(case)]
        assert found["losses"] == pytest.approx(alone["losses"], rel=TOLERANCE)
        torch.testing.assert_close(found["logits"], alone["logits"], rtol=0, atol=2 * TOLERANCE)
        for name, tensor in alone["trained"].items():
            # A key's bias changes no attention: its gradient is zero but for rounding, which AdamW makes full steps of.
            if not name.endswith("key.bias"):
                torch.testing.assert_close(found["trained"][name], tensor, rtol=0, atol=2 * TOLERANCE, msg=name)
    for found in shared[1:]:
        for name, tensor in shared[0][CASES.index(case)]["trained"].items():
            assert torch.equal(found[CASES.index(case)]["trained"][name], tensor), name


@pytest.fixture(scope="module", autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def test_shares_are_the_batch_and_an_empty_one_counts_nothing() -> None:
    inputs = {"input_ids": torch.arange(10).view(5, 2)}
    batch = Batch(inputs, torch.arange(5), examples=5, scored=5, tokens=10)
    shares = [Ranks(rank, 7, None, []).share(batch) for rank in range(7)]
    rows = [row for share in shares[:5] for row in share.labels.tolist()]
    assert sorted(rows) == list(range(5))
    assert [share.examples for share in shares] == [1] * 7
    assert [share.scored for share in shares] == [5] * 5 + [float("inf")] * 2
    two = [Ranks(rank, 2, None, []).share(batch) for rank in range(2)]
    assert [share.labels.tolist() for share in two] == [[0, 2, 4], [1, 3]]
    assert two[1].inputs["input_ids"].tolist() == [[2, 3], [6, 7]]
    assert Team().share(batch) is batch


def test_every_rank_draws_a_dropout_of_its_own() -> None:
    assert len({Ranks(rank, 4, None, []).seed(5) for rank in range(4)}) == 4
    assert Ranks(0, 4, None, []).seed(5) == Team().seed(5) == 5


# The profile


def test_one_process_is_what_cells_always_were() -> None:
    assert PROFILE.processes == 1
    assert cell().model_copy(update={"profile": PROFILE.model_copy(update={"processes": 2})}).id != cell().id
    assert cell().id == "510f1877c053d788"  # as it was before a profile could have several


def profile(**changes: Any) -> Profile:
    return Profile(**{**load("cpu-2core").model_dump(), "name": "two", "threads": 1, "processes": 2, **changes})


def test_processes_share_the_cores() -> None:
    assert profile(threads="all").thread_count(8) == 4
    assert profile(threads="all", workers=2, min_cores=4).thread_count(8) == 2
    assert profile().with_workers(2).min_cores == 4
    with pytest.raises(ValueError, match="threads x workers x processes = 4, not 2"):
        profile(threads=2)
    with pytest.raises(ValueError, match="need workers = 1"):
        profile(device="cuda", min_gpu_memory_mib=1, workers=2, min_cores=4)


def test_every_process_needs_a_gpu_of_its_own() -> None:
    gpu = Gpu(name="A GPU", memory_mib=24_000, capability="8.9", driver=None, cuda="12")
    machine = probe().model_copy(update={"gpus": (gpu,), "cpu_cores_allowed": 8})
    wanted = profile(device="cuda", min_gpu_memory_mib=20_000)
    assert check(wanted, machine) == ["needs 2 GPUs, 1 found"]
    assert check(wanted, machine.model_copy(update={"gpus": (gpu, gpu)})) == []


# How ranks end

KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def says(error: str, *, oom: bool = False, own: bool = True) -> str:
    """A rank that fails and says why."""
    return f"print({json.dumps({'error': error, 'oom': oom, 'own': own})!r}); raise SystemExit(1)"


ENDS: dict[str, tuple[list[str], Exception | None, type[Exception], str]] = {
    "killed": ([KILLED], RuntimeError("Connection closed by peer"), RankFault, "rank 1: it was killed by signal 9"),
    "silent": (["exit(3)"], RuntimeError("Connection reset"), RankFault, "rank 1: it ended with code 3"),
    "says why": ([says("ValueError: no")], RuntimeError("Connection reset"), RankFault, "rank 1: ValueError: no"),
    "memory": ([says("MemoryError:", oom=True)], RankFault("a rank has ended"), MemoryError, "rank 1: MemoryError:"),
    "the first cause": (
        [says("RuntimeError: Connection closed", own=False), says("ValueError: no")],
        RuntimeError("Connection closed"),
        RankFault,
        "rank 2: ValueError: no",
    ),
    "after the training": (["exit(3)"], None, RankFault, "rank 1: it ended with code 3"),
    # What rank 0 knows for itself stays: every rank finds that a method is not for a model.
    "of its own": ([says("NotApplicable: no wings")], NotApplicable("no wings"), NotApplicable, "no wings"),
    "memory of its own": ([says("RuntimeError: x")], torch.OutOfMemoryError("mine"), torch.OutOfMemoryError, "mine"),
    "nobody else": (["import time; time.sleep(600)"], RuntimeError("not here"), RuntimeError, "not here"),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_cell_of_ranks_ends_with_the_first_cause_and_leaves_none_behind(case: str) -> None:
    codes, error, kind, message = ENDS[case]
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for code in codes
    ]
    if case != "nobody else":
        for process in processes:
            process.wait(60)
    with pytest.raises(kind, match=f"^{re.escape(message)}$"), Ranks(0, 2, None, processes):
        _end(error)
    assert all(process.poll() is not None for process in processes)


def _end(error: Exception | None) -> None:
    if error is not None:
        raise error


def test_a_rank_that_ends_before_the_training_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = torch.distributed.HashStore()
    with (
        subprocess.Popen([sys.executable, "-c", "exit(3)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        pytest.raises(RankFault, match="rank 1: it ended with code 3"),
        Ranks(0, 2, store, [process]) as ranks,
    ):
        ranks._meet()


WAITS = """
import subprocess, sys, time
from bench.train import distributed
distributed.GRACE_SECONDS = 0.1
dead = subprocess.Popen([sys.executable, "-c", "exit(3)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
with distributed.Ranks(0, 2, None, [dead]):
    time.sleep(600)
"""


def test_a_wait_without_end_for_a_rank_that_is_gone_is_ended() -> None:
    done = subprocess.run([sys.executable, "-c", WAITS], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert "it ended with code 3" in done.stderr


# The whole way

PLUGIN = """
import os, signal, sys
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe

class _Tiny(Method):
    paper = "none"
    def recipe(self, task, config):
        return Recipe(learning_rate=1e-2, epochs=1, batch_size=5, dropout=0.0, chosen_by="nobody")

class Whole(_Tiny):
    name, summary = "whole", "trains everything"
    def apply(self, model, task):
        model.requires_grad_(True)
        return model

class Killed(_Tiny):
    name, summary = "killed", "rank 1 is killed in its second step"
    def apply(self, model, task):
        steps = []
        def before(module, inputs):
            steps.append(1)
            if len(steps) == 2 and sys.argv[0] == "-c":
                os.kill(os.getpid(), signal.SIGKILL)
        model.register_forward_pre_hook(before)
        return model
"""


@pytest.mark.slow
def test_a_grid_with_two_processes_a_cell(tmp_path: Path) -> None:
    grid = tiny_grid.build(tmp_path)
    plugin = tmp_path / "ranks_methods.py"
    plugin.write_text(PLUGIN)
    two = tiny_grid.PROFILE.replace("tiny-cpu", "tiny-two").replace("workers = 1", "workers = 1\nprocesses = 2")
    (tmp_path / "two.toml").write_text(two.replace("min_cores = 1", "min_cores = 2"))
    results = tmp_path / "results"
    options = [*grid.options(results), "--profile", str(tmp_path / "two.toml"), "--plugin", str(plugin)]
    done = grid.bench(
        "run", *options, "--methods", "killed,whole", "--seeds", "1", "--keep-adapters", TINY_RANKS=str(tmp_path)
    )
    assert done.returncode == 1, done.stderr
    assert [each for each in psutil.process_iter() if _environment(each).get("TINY_RANKS") == str(tmp_path)] == []
    found = records(results)
    assert (found["killed"]["status"], found["killed"]["reason"]) == (
        "error",
        "RankFault: rank 1: it was killed by signal 9",
    )
    shared, alone = found["whole"], _alone(grid, plugin, tmp_path / "alone")
    assert shared["cell"]["profile"]["processes"] == 2
    assert shared["losses"] == pytest.approx(alone.losses, rel=TOLERANCE)
    assert len(shared["validation_scores"]) == 1
    assert "meet ranks" in shared["timeline"]
    assert shared["speed"]["steps_counted"] == len(alone.losses) - 3
    weights = [
        load_file(folder / "adapters" / key / "adapter.safetensors")
        for folder, key in ((results, shared["id"]), (tmp_path / "alone", alone.id))
    ]
    for name, tensor in weights[1].items():
        if not name.endswith("key.bias"):
            torch.testing.assert_close(weights[0][name], tensor, rtol=0, atol=2 * TOLERANCE, msg=name)


def _alone(grid: TinyGrid, plugin: Path, results: Path) -> Record:
    """The same cell by this process alone."""
    request = ask(
        suite=str(grid.suite),
        methods="whole",
        seeds=[0],
        profile=str(grid.profile),
        plugins=[grid.folder / "tiny_task.py", grid.folder / "tiny_methods.py", plugin],
        results=results,
        keep_adapters=True,
    )
    (assignment,) = plan(request).assignments.values()
    return Record(**run(assignment, lambda data: None))


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
