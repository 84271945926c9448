"""What is known of torch's errors, and that an error of a device costs one cell: the next one has a fresh process."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import tiny_grid
import torch
from made import cell

from bench import profiles
from bench.executors import Finished, Job
from bench.executors.local import LocalExecutor
from bench.grid.suites import Budget
from bench.records.record import Record
from bench.records.store import Store
from bench.train.assignment import Assignment
from bench.train.failures import is_out_of_memory, leaves_process_unfit

# As torch raises them.
NO_MEMORY: list[Exception] = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.81 GiB, other allocations: 1.2 GiB)"),
]
OF_DEVICE: list[Exception] = [
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle )`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
]
OTHERS: list[Exception] = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ValueError("a file with notes on CUDA error: out of memory"),
    KeyError("out of memory"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=str)
def test_a_lack_of_memory(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert leaves_process_unfit(error)


@pytest.mark.parametrize("error", OF_DEVICE, ids=str)
def test_an_error_of_the_device(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert leaves_process_unfit(error)


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert not leaves_process_unfit(error)


def test_a_tensor_that_does_not_fit_is_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**46)
    assert is_out_of_memory(raised.value)


def test_an_error_of_the_device_shows_through_what_was_raised_after_it() -> None:
    for cause in (OF_DEVICE[0], None):
        error = ValueError("the model cannot be loaded")
        error.__context__, error.__cause__ = OF_DEVICE[0], cause  # `from None` leaves the context
        assert leaves_process_unfit(error)
    circle = ValueError("in a circle")
    circle.__cause__ = KeyError("of two")
    circle.__cause__.__cause__ = circle
    assert not leaves_process_unfit(circle)


# In a real worker

STICKY = """
import torch
from bench.plugins import Method, Params, Recipe

ERRORS = {
    "nothing": None,
    "shapes": RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    "access": torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    "memory": torch.AcceleratorError("CUDA error: out of memory"),
    "handle": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
}

class StickyParams(Params):
    error: str = "nothing"

class Sticky(Method):
    name = "sticky"
    summary = "trains the head, or fails as a GPU does"
    paper = "none"
    Params = StickyParams

    def recipe(self, task, config):
        return Recipe(learning_rate=1e-2, epochs=1, batch_size=4, chosen_by="nobody")

    def apply(self, model, task):
        broken = getattr(torch, "broken", None)
        if broken is not None:  # a device that has failed fails again, until its process ends
            raise broken
        error = ERRORS[self.params.error]
        if error is not None:
            if "CUDA" in str(error):
                torch.broken = error
            raise error
        return model
"""


@pytest.mark.slow
def test_a_failing_device_costs_one_cell(tmp_path: Path) -> None:
    grid = tiny_grid.build(tmp_path)
    plugin = tmp_path / "sticky.py"
    plugin.write_text(STICKY, encoding="utf-8")
    results = tmp_path / "results"
    kinds = ["access", "nothing", "memory", "nothing", "handle", "nothing", "shapes", "nothing"]

    def job(seed: int, error: str) -> Job:
        asked = cell(
            "sticky",
            seed,
            task="tiny",
            profile=profiles.load(str(grid.profile)),
            budget=Budget(validation_examples=0),
            params={"error": error},
        )
        files = (grid.folder / "tiny_task.py", plugin)
        return Job(str(seed), Assignment(asked, grid.folder / "tiny.tsv", grid.model, files, 1, results))

    with closing(LocalExecutor("bench.train.worker:run").run(job(*each) for each in enumerate(kinds))) as events:
        ended = [event.result for event in events if isinstance(event, Finished)]
    assert [(record.status, record.reason) for record in ended if record.status != "ok"] == [
        ("error", "AcceleratorError: CUDA error: an illegal memory access was encountered"),
        ("oom", "AcceleratorError: CUDA error: out of memory"),
        ("oom", "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ("error", "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
    ]
    assert [record.status == "ok" for record in ended] == [kind == "nothing" for kind in kinds]
    written: list[Record] = Store(results).all()[0]
    assert {record.id: record.status for record in written} == {record.id: record.status for record in ended}
