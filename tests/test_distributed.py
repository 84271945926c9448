"""Several processes in one cell, on this machine's CPU with gloo: the same training as by one process, and its ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import distributed_cases
import psutil
import pytest
import tiny_grid
import torch
from distributed_cases import CASES, Case
from made import PROFILE, cell
from tiny_grid import TinyGrid, records

from bench.data import Batch
from bench.distributed import Ranks, Team
from bench.errors import ProfileError
from bench.profiles import Profile, check, load
from bench.profiles.probe import Gpu, probe

ROOT = Path(__file__).parents[1]
RANKS = 2
# Sums of float32 in another order: a few units of the last place (6e-8) each, made larger by some steps of AdamW.
TOLERANCE = 2e-5


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
        torch.testing.assert_close(found["logits"], alone["logits"], rtol=0, atol=TOLERANCE * 10)
        for name, tensor in alone["trained"].items():
            # A key's bias changes no attention: its gradient is zero but for rounding, which AdamW makes full steps of.
            if not name.endswith("key.bias"):
                torch.testing.assert_close(found["trained"][name], tensor, rtol=0, atol=TOLERANCE * 10, msg=name)
    for found in shared[1:]:
        for name, tensor in shared[0][CASES.index(case)]["trained"].items():
            assert torch.equal(found[CASES.index(case)]["trained"][name], tensor), name


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


# The whole way

PLUGIN = """
import os, signal, sys, time
from bench.errors import NotApplicable
from bench.method import Method, Recipe

RANK_0 = sys.argv[0] != "-c"

class _Tiny(Method):
    paper = "none"
    def recipe(self, task, config):
        return Recipe(learning_rate=1e-2, epochs=1, batch_size=5, dropout=0.0, chosen_by="nobody")
    def apply(self, model, task):
        steps = []
        def before(module, inputs):
            if module.training:
                steps.append(1)
            if len(steps) == 2:
                self.second(RANK_0)
        model.register_forward_pre_hook(before)
        return model

class Whole(_Tiny):
    name, summary = "whole", "trains everything"
    def apply(self, model, task):
        model.requires_grad_(True)
        return model

class Killed(_Tiny):
    name, summary = "killed", "rank 1 is killed in the second step"
    def second(self, rank_0):
        if not rank_0:
            os.kill(os.getpid(), signal.SIGKILL)

class Raises(_Tiny):
    name, summary = "raises_there", "rank 1 raises in the second step"
    def second(self, rank_0):
        if not rank_0:
            raise ValueError("no such luck")

class RaisesHere(_Tiny):
    name, summary = "raises_here", "rank 0 raises in the second step, and rank 1 waits"
    def second(self, rank_0):
        if rank_0:
            raise RuntimeError("not here")

class Greedy(_Tiny):
    name, summary = "greedy_there", "rank 1 runs out of memory"
    def apply(self, model, task):
        if not RANK_0:
            raise MemoryError("too much")
        return model

class Unfit(_Tiny):
    name, summary = "unfit", "is not for this model, as every rank finds"
    def apply(self, model, task):
        raise NotApplicable("it needs a model with wings")
"""
ENDS = {
    "killed": ("error", "RankFault: rank 1: it was killed by signal 9"),
    "raises_there": ("error", "RankFault: rank 1: ValueError: no such luck"),
    "raises_here": ("error", "RuntimeError: not here"),
    "greedy_there": ("oom", "MemoryError: rank 1: MemoryError: too much"),
    "unfit": ("skipped", "it needs a model with wings"),
}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    made = tiny_grid.build(tmp_path_factory.mktemp("tiny"))
    (made.folder / "ranks_methods.py").write_text(PLUGIN)
    two = tiny_grid.PROFILE.replace("tiny-cpu", "tiny-two").replace("workers = 1", "workers = 1\nprocesses = 2")
    (made.folder / "two.toml").write_text(two.replace("min_cores = 1", "min_cores = 2"))
    return made


def run(
    grid: TinyGrid, results: Path, methods: str, *more: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    plugin = ("--plugin", str(grid.folder / "ranks_methods.py"))
    return grid.run(results, methods, "--seeds", "1", "--keep-adapters", *plugin, *more, **environment)


@pytest.mark.slow
def test_a_grid_with_two_processes_a_cell(grid: TinyGrid) -> None:
    from safetensors.torch import load_file

    one, two = grid.folder / "one", grid.folder / "two"
    assert run(grid, one, "whole").returncode == 0
    done = run(grid, two, "whole", "--profile", str(grid.folder / "two.toml"))
    assert done.returncode == 0, done.stderr
    alone, shared = records(one)["whole"], records(two)["whole"]
    assert shared["losses"] == pytest.approx(alone["losses"], rel=TOLERANCE)
    assert shared["id"] != alone["id"]
    assert shared["cell"]["profile"]["processes"] == 2
    assert len(shared["validation_scores"]) == 1
    assert "meet ranks" in shared["timeline"]
    assert shared["speed"]["steps_counted"] == alone["speed"]["steps_counted"]
    weights = [
        load_file(folder / "adapters" / found["id"] / "adapter.safetensors")
        for folder, found in ((one, alone), (two, shared))
    ]
    for name, tensor in weights[0].items():
        if not name.endswith("key.bias"):
            torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=TOLERANCE * 10, msg=name)


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_cell_with_its_reason_and_leaves_no_process(grid: TinyGrid) -> None:
    results = grid.folder / "ends"
    mark = {"TINY_RANKS": str(results)}
    done = run(grid, results, ",".join(ENDS), "--profile", str(grid.folder / "two.toml"), **mark)
    assert done.returncode == 1, done.stderr
    assert {name: (each["status"], each["reason"]) for name, each in records(results).items()} == ENDS
    assert [each for each in psutil.process_iter() if _environment(each).get("TINY_RANKS") == str(results)] == []


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
