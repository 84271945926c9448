"""Peak memory against tensors of known size."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from bench.measure.memory import CudaPeak, TensorPeak, freeze_gc, process_peak_mib, storage_bytes

MIB = 2**20


def tensor(mib: int) -> torch.Tensor:
    return torch.empty(mib * MIB, dtype=torch.uint8)


def test_the_peak_is_of_what_is_alive_together_and_what_was_held_counts_once() -> None:
    held = tensor(3)
    with TensorPeak([held, held[: MIB // 2], held.view(3, MIB)]) as peak:
        first = tensor(2)
        del first
        second, third = tensor(1), tensor(4)
        del second, third
    assert peak.peak_bytes == (3 + 1 + 4) * MIB


def test_what_an_operation_takes_and_returns_within_itself_counts() -> None:
    """Under autocast a product copies both matrices to the other dtype."""
    one, other = torch.ones(256, 256), torch.ones(256, 256)
    size = 256 * 256
    with TensorPeak([one, other]) as peak, torch.autocast("cpu", torch.bfloat16):
        product = one @ other
    assert product.dtype == torch.bfloat16
    assert peak.peak_bytes is not None
    assert 0 <= peak.peak_bytes - size * (4 + 4 + 2 + 2 + 2) < 2 * size  # the product's own workspace


def test_what_a_linear_layer_saves_and_its_gradients() -> None:
    layer, data = torch.nn.Linear(64, 128), torch.ones(32, 64)
    held = [*layer.parameters(), data]
    with TensorPeak(held) as peak:
        hidden = layer(data)
        hidden.backward(hidden.detach())
    output, gradients = 32 * 128 * 4, (64 * 128 + 128) * 4
    assert peak.peak_bytes == storage_bytes(held) + output + gradients


def test_a_fused_adamw_takes_nothing_beside_its_states() -> None:
    """The reason why the measured step may leave the update out."""
    weight = torch.nn.Parameter(torch.ones(1000, 100))
    optimizer = torch.optim.AdamW([weight], fused=True, weight_decay=0.1)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    with TensorPeak([]) as peak:
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()
    assert peak.peak_bytes is not None
    assert peak.peak_bytes < 1000


def test_a_release_of_what_was_there_before_is_not_counted() -> None:
    """Not even at an address where an earlier window saw an allocation: torch remembers it until it sees its end."""
    with TensorPeak([]):
        first = tensor(40)  # glibc maps blocks of this size separately: the next one takes the same addresses
    address = first.data_ptr()
    del first
    again = tensor(40)
    if again.data_ptr() != address:
        pytest.skip("the C library gave the second block another address")
    with TensorPeak([]) as peak:
        del again
        kept = tensor(2)
    assert len(kept) == 2 * MIB
    assert peak.peak_bytes == 2 * MIB


def test_after_an_error_the_peak_is_unknown_and_the_next_one_is_measured() -> None:
    failed = TensorPeak([])
    with pytest.raises(ValueError, match="the body's own"), failed:
        raise ValueError("the body's own")
    assert failed.peak_bytes is None
    with TensorPeak([]) as peak:
        tensor(1)
    assert peak.peak_bytes == MIB


def test_the_process_peak_stays_after_memory_is_returned() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("the kernel keeps no high-water mark")
    block = bytearray(50 * MIB)
    block[::4096] = b"x" * len(block[::4096])
    largest = psutil.Process().memory_info().rss / MIB
    del block
    peak = process_peak_mib()
    assert peak is not None
    assert peak > largest - 2  # the kernel counts pages in batches


@pytest.mark.parametrize(("text", "expected"), [("VmPeak: 9 kB\nVmHWM:\t 2048 kB\n", 2.0), ("VmRSS: 1 kB\n", None)])
def test_the_process_peak_is_read_from_the_kernels_mark(tmp_path: Path, text: str, expected: float | None) -> None:
    (tmp_path / "status").write_text(text)
    assert process_peak_mib(tmp_path / "status") == expected
    assert process_peak_mib(tmp_path / "missing") is None


class FakeCuda:
    """torch.cuda as far as a measurement uses it, noting each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.broken = False
        self.peaks = iter([300, 200])

    def __getattr__(self, name: str) -> Any:
        def call(*device: str) -> Any:
            if name == "synchronize" and self.broken:
                raise RuntimeError("CUDA error: device-side assert triggered")
            self.calls.append((name, *device))
            return next(self.peaks) if name == "max_memory_allocated" else 512

        return call


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))
    return fake


def test_cuda_is_synchronised_and_reset_around_the_work(cuda: FakeCuda) -> None:
    with CudaPeak("cuda:1") as measured:
        cuda.calls.append(("work",))
    assert cuda.calls == [
        ("synchronize", "cuda:1"),
        ("empty_cache",),
        ("reset_peak_memory_stats", "cuda:1"),
        ("work",),
        ("synchronize", "cuda:1"),
        ("max_memory_allocated", "cuda:1"),
        ("max_memory_reserved", "cuda:1"),
    ]
    assert (measured.peak_bytes, measured.reserved_bytes) == (300, 512)
    with measured:  # the higher peak of two parts stays
        pass
    assert (measured.peak_bytes, measured.reserved_bytes) == (300, 512)


def test_what_a_pause_takes_on_cuda_does_not_count(cuda: FakeCuda) -> None:
    cuda.peaks = iter([100, 200])
    with CudaPeak("cuda") as measured:
        with measured.paused():
            cuda.calls.append(("pause",))
        cuda.calls.append(("work",))
    names = [call[0] for call in cuda.calls if call[0] in ("reset_peak_memory_stats", "max_memory_allocated", "pause")]
    reset, read = "reset_peak_memory_stats", "max_memory_allocated"
    assert names == [reset, read, "pause", reset, read]
    assert measured.peak_bytes == 200
    with measured.paused():  # nothing is being measured
        pass
    assert len([call for call in cuda.calls if call[0] == reset]) == 2


def test_elsewhere_than_on_cuda_nothing_is_done(cuda: FakeCuda) -> None:
    with CudaPeak("cpu") as measured, measured.paused():
        pass
    assert cuda.calls == []
    assert measured.peak_bytes is None


def test_a_device_that_fails_does_not_hide_the_bodys_error(cuda: FakeCuda) -> None:
    def fail() -> None:
        cuda.broken = True
        raise ValueError("the body's own")

    measured = CudaPeak("cuda")
    with pytest.raises(ValueError, match="the body's own"), measured:
        fail()
    assert measured.peak_bytes is None


@pytest.mark.parametrize("at", ["start", "end"])
def test_a_device_that_fails_is_an_error(cuda: FakeCuda, at: str) -> None:
    cuda.broken = at == "start"
    with pytest.raises(RuntimeError, match="device-side assert"), CudaPeak("cuda"):
        cuda.broken = True


class Cycle:
    def __init__(self) -> None:
        self.me = self


def test_what_is_frozen_is_left_out_of_collections_and_garbage_is_not_kept() -> None:
    garbage, kept = Cycle(), Cycle()
    gone, there = weakref.ref(garbage), weakref.ref(kept)
    del garbage
    try:
        freeze_gc()
        assert gone() is None
        assert there() is kept
        assert not any(each is kept for each in gc.get_objects())
        later = Cycle()
        gone = weakref.ref(later)
        del later
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()


QUIET = """
import torch
from bench.measure.memory import TensorPeak
with TensorPeak([]) as peak:
    torch.ones(1000)
print(peak.peak_bytes)
"""


def test_the_profiler_writes_nothing() -> None:
    """Its library would add two lines to a worker's log for each measured step."""
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 4000
    assert done.stderr == ""
