"""Memory windows against allocations of known size."""

import gc
import platform
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.measure import memory
from bench.measure.memory import MemoryWindow

MIB = 2**20
# The kernel counts resident pages in batches, so its mark may lag by a little.
SLACK_MIB = 2.0

has_high_water_mark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the kernel keeps no high-water mark that can be reset"
)


def touched(size_mib: int) -> bytearray:
    """Memory that is really there: every page is written to."""
    block = bytearray(size_mib * MIB)
    block[::4096] = b"x" * len(block[::4096])
    return block


@has_high_water_mark
def test_the_peak_of_memory_freed_before_the_end_is_seen() -> None:
    with MemoryWindow("cpu") as window:
        block = touched(200)
        del block
    assert window.kind == "cpu-rss"
    assert window.growth_mib is not None
    assert window.peak_mib is not None
    assert 200 - SLACK_MIB <= window.growth_mib <= 220
    assert window.peak_mib > window.growth_mib
    assert window.reserved_mib is None

    with MemoryWindow("cpu") as after:
        pass
    assert after.growth_mib is not None
    assert after.growth_mib < 20
    assert after.peak_mib is not None
    assert after.peak_mib < window.peak_mib - 150


class Cycle:
    def __init__(self) -> None:
        self.me = self


def test_what_is_frozen_is_left_out_of_collections_and_garbage_is_not_kept() -> None:
    garbage, kept = Cycle(), Cycle()
    gone, there = weakref.ref(garbage), weakref.ref(kept)
    del garbage
    try:
        memory.freeze_gc()
        assert gone() is None
        assert there() is kept
        assert gc.get_freeze_count() > 0
        assert not any(each is kept for each in gc.get_objects())
        later = Cycle()
        gone = weakref.ref(later)
        del later
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()
    assert gc.get_freeze_count() == 0


@has_high_water_mark
def test_what_was_there_before_is_in_the_peak_and_not_in_the_growth() -> None:
    model = touched(100)
    with MemoryWindow("cpu") as window:
        block = touched(50)
        del block
    assert len(model) == 100 * MIB
    assert window.growth_mib is not None
    assert window.peak_mib is not None
    assert 50 - SLACK_MIB <= window.growth_mib <= 70
    assert window.peak_mib >= 150 - SLACK_MIB


@has_high_water_mark
def test_garbage_of_an_earlier_cell_is_not_counted() -> None:
    gc.disable()
    try:
        cycle: list[object] = [touched(100)]
        cycle.append(cycle)
        before_mib = psutil.Process().memory_info().rss / MIB
        del cycle
        with MemoryWindow("cpu") as window:
            pass
    finally:
        gc.enable()
    assert window.peak_mib is not None
    assert window.peak_mib < before_mib - 90


@has_high_water_mark
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap is handed back on glibc only")
def test_the_heap_an_earlier_cell_left_does_not_hide_growth() -> None:
    def small_blocks(size_mib: int) -> list[bytes]:
        """Too small for a mapping of their own, so they come from the heap and go back to it."""
        return [b"x" * (MIB // 16 + number) for number in range(size_mib * 16)]

    earlier = small_blocks(100)
    last = earlier.pop()  # keeps the heap from shrinking by itself
    del earlier
    with MemoryWindow("cpu") as window:
        blocks = small_blocks(60)
        del blocks
    assert last
    assert window.growth_mib is not None
    assert 60 - SLACK_MIB <= window.growth_mib <= 80


def test_a_body_that_raises_is_measured_and_its_error_passes() -> None:
    window = MemoryWindow("cpu")
    with pytest.raises(MemoryError, match="mine"), window:
        raise MemoryError("mine")
    assert window.peak_mib is not None
    with MemoryWindow("cpu") as following:
        pass
    assert following.peak_mib is not None


def test_windows_do_not_nest() -> None:
    with MemoryWindow("cpu") as outer, pytest.raises(RuntimeError, match="cannot nest"), MemoryWindow("cpu"):
        pass
    assert outer.peak_mib is not None


def test_without_a_high_water_mark_the_size_is_sampled(tmp_path: Path) -> None:
    with MemoryWindow("cpu", proc=tmp_path) as window:
        block = touched(100)
        time.sleep(0.1)
        del block
    assert window.kind == "cpu-rss-sampled"
    assert window.growth_mib is not None
    assert 100 - SLACK_MIB <= window.growth_mib <= 120
    assert window.reserved_mib is None


@pytest.mark.parametrize("status", ["Name:\tpython\n", "VmRSS:\t 2048 kB\n", "VmHWM:\t 2048 kB\n"])
def test_a_status_without_both_sizes_is_not_used(tmp_path: Path, status: str) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(status)
    with MemoryWindow("cpu", proc=tmp_path) as window:
        pass
    assert window.kind == "cpu-rss-sampled"


def test_the_mark_is_reset_and_read_in_mib(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    status = tmp_path / "self/status"
    status.write_text("VmHWM:\t    2048 kB\nVmRSS:\t    2048 kB\n")
    with MemoryWindow("cpu", proc=tmp_path) as window:
        assert (tmp_path / "self/clear_refs").read_text() == "5"
        status.write_text("VmHWM:\t    5120 kB\nVmRSS:\t    3072 kB\n")
    assert (window.peak_mib, window.growth_mib, window.kind) == (5.0, 3.0, "cpu-rss")


def test_a_mark_that_lags_behind_the_level_is_no_negative_growth(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text("VmHWM:\t 2000 kB\nVmRSS:\t 2048 kB\n")
    with MemoryWindow("cpu", proc=tmp_path) as window:
        pass
    assert (window.peak_mib, window.growth_mib) == (2.0, 0.0)


def test_a_mark_that_can_no_longer_be_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    status = tmp_path / "self/status"
    status.write_text("VmHWM:\t 2048 kB\nVmRSS:\t 2048 kB\n")
    with MemoryWindow("cpu", proc=tmp_path) as window:
        status.unlink()
    assert (window.peak_mib, window.growth_mib, window.kind) == (None, None, None)


def test_where_nothing_can_be_read_all_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: psutil.Process) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "memory_info", refused)
    with MemoryWindow("cpu", proc=tmp_path) as window:
        pass
    assert (window.peak_mib, window.growth_mib, window.reserved_mib, window.kind) == (None, None, None, None)


class FakeCuda:
    """torch.cuda as far as a window uses it, noting each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.broken = False

    def synchronize(self, device: str) -> None:
        if self.broken:
            raise RuntimeError("CUDA error: device-side assert triggered")
        self.calls.append(("synchronize", device))

    def empty_cache(self) -> None:
        self.calls.append(("empty_cache",))

    def reset_peak_memory_stats(self, device: str) -> None:
        self.calls.append(("reset_peak_memory_stats", device))

    def memory_allocated(self, device: str) -> int:
        self.calls.append(("memory_allocated", device))
        return 100 * MIB

    def max_memory_allocated(self, device: str) -> int:
        self.calls.append(("max_memory_allocated", device))
        return 300 * MIB

    def max_memory_reserved(self, device: str) -> int:
        self.calls.append(("max_memory_reserved", device))
        return 512 * MIB


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))
    return fake


def test_cuda_is_synchronised_and_reset_around_the_work(cuda: FakeCuda) -> None:
    with MemoryWindow("cuda:1") as window:
        cuda.calls.append(("work",))
    assert cuda.calls == [
        ("synchronize", "cuda:1"),
        ("empty_cache",),
        ("reset_peak_memory_stats", "cuda:1"),
        ("memory_allocated", "cuda:1"),
        ("work",),
        ("synchronize", "cuda:1"),
        ("max_memory_allocated", "cuda:1"),
        ("max_memory_reserved", "cuda:1"),
    ]
    assert (window.peak_mib, window.growth_mib, window.reserved_mib) == (300.0, 200.0, 512.0)
    assert window.kind == "cuda-allocated"


def test_a_device_that_fails_does_not_hide_the_bodys_error(cuda: FakeCuda) -> None:
    def fail() -> None:
        cuda.broken = True
        raise ValueError("the body's own")

    window = MemoryWindow("cuda")
    with pytest.raises(ValueError, match="the body's own"), window:
        fail()
    assert (window.peak_mib, window.reserved_mib, window.kind) == (None, None, None)


def test_a_device_that_fails_at_the_end_of_a_good_body_is_an_error(cuda: FakeCuda) -> None:
    with pytest.raises(RuntimeError, match="device-side assert"), MemoryWindow("cuda"):
        cuda.broken = True
    assert not memory._in_use.locked()


def test_a_device_that_fails_at_the_start_leaves_the_next_window_free(cuda: FakeCuda) -> None:
    cuda.broken = True
    with pytest.raises(RuntimeError, match="device-side assert"), MemoryWindow("cuda"):
        pass
    with MemoryWindow("cpu") as following:
        pass
    assert following.peak_mib is not None
