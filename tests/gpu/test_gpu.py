"""Cells on a real CUDA GPU, held against the same cells on the CPU. Skipped where there is no GPU.

GPU_DRY_RUN=1 runs all of it on the CPU instead, which shows that the tests work, and nothing about a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any

import pytest
import tiny_grid
import torch
from made import cell
from tiny_grid import TinyGrid

from bench import profiles
from bench.executors import Finished, Job
from bench.executors.local import LocalExecutor
from bench.grid.suites import Budget
from bench.plugins import registry
from bench.profiles import Profile
from bench.profiles.probe import probe
from bench.records.record import Record
from bench.train import worker
from bench.train.assignment import Assignment

DRY_RUN = os.environ.get("GPU_DRY_RUN") == "1"
pytestmark = [
    pytest.mark.usefixtures("frozen_gc"),
    pytest.mark.gpu,
    pytest.mark.skipif(not (DRY_RUN or torch.cuda.is_available()), reason="there is no CUDA GPU that torch can use"),
]
METHODS = registry.methods().names()
PROFILES = ["gpu", "gpu-bf16"]
# How far a loss may be from the CPU's, in float32: sums in another order, then in eight bits of mantissa.
NEAR = {"gpu": 2e-3, "gpu-bf16": 0.15}
SHORT = {"epochs": 2, "min_steps": 0, "batch_size": 4}

FAILING = """
import torch
from bench.plugins import Method, Params, Recipe

class FailingParams(Params):
    how: str = "memory"

class Failing(Method):
    name = "failing"
    summary = "fails on the device in its first forward pass"
    paper = "none"
    Params = FailingParams

    def recipe(self, task, config):
        return Recipe(learning_rate=1e-2, epochs=1, batch_size=4, chosen_by="nobody")

    def apply(self, model, task):
        def fail(module, args, kwargs):
            device = kwargs["input_ids"].device
            if self.params.how == "memory":
                torch.empty(2**48, device=device)
            else:
                torch.zeros(2, device=device)[torch.tensor([2**20], device=device)]  # an assertion of the device
                if device.type == "cuda":
                    torch.cuda.synchronize()
        model.register_forward_pre_hook(fail, with_kwargs=True)
        return model
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.set_float32_matmul_precision(before[1])


def gpu(name: str) -> Profile:
    """A profile, if the GPU supports it."""
    profile = profiles.load(name)
    if DRY_RUN:
        return profile.model_copy(update={"device": "cpu", "threads": 1})
    if lacks := profiles.check(profile, probe()):
        pytest.skip(f"profile {name}: {'; '.join(lacks)}")
    return profile


def assignment(grid: TinyGrid, profile: Profile, method: str, seed: int = 0, **changes: Any) -> Assignment:
    more = {"recipe": SHORT, "budget": Budget(validation_examples=0), **changes}
    asked = cell(method, seed, task="tiny", profile=profile, **more)
    files = (grid.folder / "tiny_task.py", grid.folder / "failing.py")
    (grid.folder / "failing.py").write_text(FAILING, encoding="utf-8")
    return Assignment(asked, grid.folder / "tiny.tsv", grid.model, files, profile.workers, None)


def run(grid: TinyGrid, profile: Profile, method: str, **changes: Any) -> Record:
    record, _ = worker.run_cell(assignment(grid, profile, method, **changes), lambda data: None)
    assert record.status == "ok", record.traceback
    return record


@cache
def on_cpu(grid: TinyGrid, method: str) -> list[float]:
    """The losses of the same cell on the CPU, without dropout, which draws differently there."""
    one_thread = profiles.load("cpu").model_copy(update={"threads": 1})  # tiny matrices gain nothing from more
    return list(run(grid, one_thread, method, recipe={**SHORT, "dropout": 0.0}).losses)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("method", METHODS)
def test_losses_are_near_the_cpus_and_costs_are_there(grid: TinyGrid, method: str, name: str) -> None:
    record = run(grid, gpu(name), method, recipe={**SHORT, "dropout": 0.0})
    assert len(record.losses) == 12
    assert list(record.losses) == pytest.approx(on_cpu(grid, method), abs=NEAR[name])
    memory, speed, parameters = record.memory, record.speed, record.parameters
    assert memory is not None
    assert speed is not None
    assert parameters is not None
    weights_mib = 4 * parameters.base / 2**20
    assert memory.train_peak_mib is not None
    assert weights_mib < memory.train_peak_mib < 4096
    if not DRY_RUN:
        assert memory.kind is not None
        assert memory.kind.startswith("cuda")
        assert memory.train_reserved_mib is not None
        assert memory.train_reserved_mib >= memory.train_peak_mib
        assert record.environment["machine"]["gpus"]
    assert speed.void is None
    assert 1 < (speed.train_examples_per_second or 0) < 1e6
    assert (speed.step_p50_ms or 0) <= (speed.step_p95_ms or 0)
    assert 1 < (speed.eval_examples_per_second or 0) < 1e6
    # Steps lie within the phase that they are timed in.
    counted = speed.steps_counted * (4 / (speed.train_examples_per_second or 1))
    assert counted <= record.timeline["total"]


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("method", ["pasta", "lora", "full"])
def test_the_same_cell_twice_gives_the_same_bits(grid: TinyGrid, method: str, name: str) -> None:
    """With dropout; another cell runs between them."""
    one = run(grid, gpu(name), method)
    run(grid, gpu(name), "bitfit")
    two = run(grid, gpu(name), method)
    assert list(one.losses) == list(two.losses)
    assert list(one.predictions) == list(two.predictions)
    other = run(grid, gpu(name), method, seed=1)
    assert list(other.losses) != list(one.losses)


@pytest.mark.parametrize("method", ["pasta", "full"])
def test_checkpointing_gives_the_same_losses_in_no_more_memory(grid: TinyGrid, method: str) -> None:
    plain = run(grid, gpu("gpu"), method)
    checkpointed = run(grid, gpu("gpu").model_copy(update={"gradient_checkpointing": True}), method)
    assert list(checkpointed.losses) == pytest.approx(list(plain.losses), abs=1e-5)
    if not DRY_RUN:
        assert plain.memory is not None
        assert checkpointed.memory is not None
        assert (checkpointed.memory.train_peak_mib or 0) <= (plain.memory.train_peak_mib or 0)


def test_a_compiled_model_gives_the_same_losses(grid: TinyGrid) -> None:
    if DRY_RUN:
        pytest.skip("compiling for a CPU takes minutes and is tested in tests/train/test_modes.py")
    plain, compiled = (
        run(grid, gpu("gpu").model_copy(update={"compile": on}), "pasta", recipe={**SHORT, "dropout": 0.0})
        for on in (False, True)
    )
    assert list(compiled.losses) == pytest.approx(list(plain.losses), abs=NEAR["gpu"])


def ended(*jobs: Job, workers: int = 1) -> dict[str, Record]:
    """What became of jobs in real worker processes."""
    with closing(LocalExecutor("bench.train.worker:run", workers).run(jobs)) as events:
        return {event.key: event.result for event in events if isinstance(event, Finished)}


def test_a_failing_device_costs_one_cell(grid: TinyGrid) -> None:
    """A lack of memory, and an assertion in a kernel, after which every call on the device fails in that process."""
    profile = gpu("gpu")
    failing = [
        Job(how, assignment(grid, profile, "failing", params={"how": how}, recipe={})) for how in ("memory", "index")
    ]
    fine = [Job(f"after {job.key}", assignment(grid, profile, "bitfit")) for job in failing]
    found = ended(*(job for pair in zip(failing, fine, strict=True) for job in pair))
    assert {key: record.status for key, record in found.items()} == {
        "memory": "oom",
        "after memory": "ok",
        "index": "error",
        "after index": "ok",
    }
    assert list(found["after memory"].losses) == list(found["after index"].losses)


def test_two_workers_on_one_device_give_what_one_gives(grid: TinyGrid) -> None:
    profile = gpu("gpu").with_workers(2)
    jobs = [Job(str(seed), assignment(grid, profile, "pasta", seed)) for seed in range(4)]
    found = ended(*jobs, workers=2)
    assert {key: record.status for key, record in found.items()} == dict.fromkeys("0123", "ok")
    assert list(found["1"].losses) == list(run(grid, gpu("gpu"), "pasta", seed=1).losses)
    for record in found.values():
        assert record.speed is not None
        assert (record.speed.workers, record.speed.exclusive) == (2, False)
