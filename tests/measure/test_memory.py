"""Peak memory against allocations of known size."""

import gc
import platform
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench.measure import memory
from bench.measure.memory import PeakMemory, freeze_gc

MIB = 2**20
SLACK_MIB = 2.0  # the kernel counts resident pages in batches, so its mark may lag by a little

has_high_water_mark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the kernel keeps no high-water mark that can be reset"
)


@pytest.fixture(scope="module", autouse=True)
def _frozen_gc() -> Iterator[None]:
    """As in a worker: a measurement collects garbage, which would take most of a test's time."""
    freeze_gc()
    yield
    gc.unfreeze()


def touched(size_mib: int) -> bytearray:
    """Memory that is really there: every page is written to."""
    block = bytearray(size_mib * MIB)
    block[::4096] = b"x" * len(block[::4096])
    return block


def found(measured: PeakMemory) -> tuple[Any, ...]:
    return measured.peak_mib, measured.growth_mib, measured.reserved_mib, measured.kind


def about(size_mib: float) -> Any:
    """At least this much but for the kernel's lag, and at most 20 MiB more."""
    return pytest.approx(size_mib + 10 - SLACK_MIB / 2, abs=10 + SLACK_MIB / 2)


@has_high_water_mark
def test_the_peak_of_memory_freed_before_the_end_is_seen_and_what_was_there_before_is_no_growth() -> None:
    model = touched(100)
    with PeakMemory("cpu") as first:
        block = touched(200)
        del block
    assert first.kind == "cpu-rss"
    assert first.growth_mib == about(200)
    assert first.peak_mib is not None
    assert first.peak_mib >= 300 - SLACK_MIB
    with PeakMemory("cpu") as second:
        pass
    assert len(model) == 100 * MIB
    assert second.growth_mib == about(0)
    assert second.peak_mib is not None
    assert second.peak_mib < first.peak_mib - 150


@has_high_water_mark
def test_what_a_pause_takes_does_not_count_and_growth_is_over_the_level_at_the_start() -> None:
    with PeakMemory("cpu") as measured:
        kept = touched(40)
        with measured.paused():
            block = touched(200)
            del block
        more = touched(30)
    with measured.paused():
        touched(200)
    assert len(kept) + len(more) == 70 * MIB
    assert measured.growth_mib == about(70)


def test_an_error_in_a_pause_ends_the_measurement_too() -> None:
    measured = PeakMemory("cpu")
    with pytest.raises(KeyError), measured, measured.paused():
        raise KeyError
    with PeakMemory("cpu"):
        pass


@has_high_water_mark
def test_garbage_of_an_earlier_cell_is_not_counted() -> None:
    gc.disable()
    try:
        cycle: list[object] = [touched(100)]
        cycle.append(cycle)
        before_mib = psutil.Process().memory_info().rss / MIB
        del cycle
        with PeakMemory("cpu") as measured:
            pass
    finally:
        gc.enable()
    assert measured.peak_mib is not None
    assert measured.peak_mib < before_mib - 90


@has_high_water_mark
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap is handed back on glibc only")
def test_the_heap_an_earlier_cell_left_does_not_hide_growth() -> None:
    def small_blocks(size_mib: int) -> list[bytes]:
        """Too small for a mapping of their own, so they come from the heap and go back to it."""
        return [b"x" * (MIB // 16 + number) for number in range(size_mib * 16)]

    earlier = small_blocks(100)
    last = earlier.pop()  # keeps the heap from shrinking by itself
    del earlier
    with PeakMemory("cpu") as measured:
        blocks = small_blocks(60)
        del blocks
    assert last
    assert measured.growth_mib == about(60)


def test_measurements_do_not_overlap() -> None:
    with PeakMemory("cpu") as outer, pytest.raises(RuntimeError, match="cannot overlap"), PeakMemory("cpu"):
        pass
    assert outer.peak_mib is not None


def test_without_a_high_water_mark_the_size_is_sampled(tmp_path: Path) -> None:
    with PeakMemory("cpu", proc=tmp_path) as measured:
        block = touched(100)
        time.sleep(0.1)
        del block
    assert measured.kind == "cpu-rss-sampled"
    assert measured.growth_mib == about(100)
    assert measured.reserved_mib is None


@pytest.fixture
def status(tmp_path: Path) -> Path:
    """The file with the sizes of a process, in a /proc of the test's own."""
    (tmp_path / "self").mkdir()
    return tmp_path / "self/status"


def test_a_status_without_both_sizes_is_not_used(tmp_path: Path, status: Path) -> None:
    status.write_text("VmRSS:\t 2048 kB\n")
    with PeakMemory("cpu", proc=tmp_path) as measured:
        pass
    assert measured.kind == "cpu-rss-sampled"


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("VmHWM: 2048 kB\nVmRSS:\t 2048 kB\n", "VmHWM:\t    5120 kB\nVmRSS: 3072 kB\n", (5.0, 3.0, None, "cpu-rss")),
        # A mark that lags behind the level is no negative growth.
        ("VmHWM: 2000 kB\nVmRSS: 2048 kB\n", "VmHWM: 2000 kB\nVmRSS: 2048 kB\n", (2.0, 0.0, None, "cpu-rss")),
        ("VmHWM: 2048 kB\nVmRSS: 2048 kB\n", None, (None, None, None, None)),
    ],
)
def test_the_mark_is_reset_and_read(
    tmp_path: Path, status: Path, begin: str, end: str | None, expected: tuple[Any, ...]
) -> None:
    status.write_text(begin)
    with PeakMemory("cpu", proc=tmp_path) as measured:
        assert (tmp_path / "self/clear_refs").read_text() == "5"
        if end is None:
            status.unlink()
        else:
            status.write_text(end)
    assert found(measured) == expected


def test_where_nothing_can_be_read_all_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: psutil.Process) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "memory_info", refused)
    with PeakMemory("cpu", proc=tmp_path) as measured:
        pass
    assert found(measured) == (None, None, None, None)


class FakeCuda:
    """torch.cuda as far as a measurement uses it, noting each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.broken = False
        self.peaks = iter([300 * MIB, 200 * MIB])

    def __getattr__(self, name: str) -> Any:
        results = {"memory_allocated": lambda: 100 * MIB, "max_memory_allocated": lambda: next(self.peaks)}

        def call(*device: str) -> Any:
            if name == "synchronize" and self.broken:
                raise RuntimeError("CUDA error: device-side assert triggered")
            self.calls.append((name, *device))
            return results.get(name, lambda: 512 * MIB)()

        return call


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))
    return fake


def test_cuda_is_synchronised_and_reset_around_the_work(cuda: FakeCuda) -> None:
    with PeakMemory("cuda:1") as measured:
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
    assert found(measured) == (300.0, 200.0, 512.0, "cuda-allocated")
    with measured:  # the higher peak of two parts stays
        pass
    assert found(measured) == (300.0, 200.0, 512.0, "cuda-allocated")


def test_a_device_that_fails_does_not_hide_the_bodys_error(cuda: FakeCuda) -> None:
    def fail() -> None:
        cuda.broken = True
        raise ValueError("the body's own")

    measured = PeakMemory("cuda")
    with pytest.raises(ValueError, match="the body's own"), measured:
        fail()
    assert found(measured) == (None, None, None, None)


@pytest.mark.parametrize("at", ["start", "end"])
def test_a_device_that_fails_is_an_error_and_leaves_the_next_measurement_free(cuda: FakeCuda, at: str) -> None:
    cuda.broken = at == "start"
    with pytest.raises(RuntimeError, match="device-side assert"), PeakMemory("cuda"):
        cuda.broken = True
    assert not memory._in_use.locked()


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
