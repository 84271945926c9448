"""The most memory that a stretch of work used.

On CUDA that is torch's own account of the device. On a CPU it is the resident size of this process: Linux
keeps its high-water mark, which can be reset and read, so nothing is sampled and the work is not slowed. (The
kernel counts in batches of pages per core, so the mark may be off by some 0.1 MiB for each busy core.) Where
the mark cannot be had, a thread samples the resident size.
"""

import contextlib
import ctypes
import gc
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

import psutil

if TYPE_CHECKING:
    import torch

Kind = Literal["cuda-allocated", "cpu-rss", "cpu-rss-sampled"]

_MIB = 2**20
_SAMPLE_S = 0.01
# Kernel and torch keep one high-water mark each, so that an inner window would wipe out the outer one's.
_in_use = threading.Lock()


class MemoryWindow:
    """Context manager that finds the peak memory of its body.

        with MemoryWindow(device) as window:
            train()
        window.peak_mib

    The results are there after the body, also after one that raised, and are None where unknown. Windows may
    follow each other but not nest or overlap in a process: RuntimeError. Child processes are not counted.

    peak_mib: the peak in MiB, with what was there before the window (libraries, the model).
    growth_mib: the peak over the level at the window's start, in MiB.
    reserved_mib: on CUDA the peak that torch had reserved from the device, in MiB; None on a CPU.
    kind: what was measured: "cuda-allocated", "cpu-rss", or "cpu-rss-sampled", which can miss what lasts less
        than 10 ms; None where nothing could be.
    """

    def __init__(self, device: "str | torch.device", proc: Path = Path("/proc")) -> None:
        self.peak_mib: float | None = None
        self.growth_mib: float | None = None
        self.reserved_mib: float | None = None
        self.kind: Kind | None = None
        self._device = str(device)
        self._proc = proc
        self._gauge: _Gauge | None = None

    def __enter__(self) -> Self:
        if not _in_use.acquire(blocking=False):
            raise RuntimeError("memory windows cannot nest or overlap: another one is open in this process")
        try:
            self._gauge = _open_gauge(self._device, self._proc)
        except BaseException:
            _in_use.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gauge, self._gauge = self._gauge, None
        try:
            if gauge is not None:
                self._conclude(gauge)
        except RuntimeError:
            # A device that failed in the body fails again here; the body's own error is the one to show.
            if error is None:
                raise
        except OSError:
            pass  # what cannot be read is unknown, and no reason to lose the work that was measured
        finally:
            _in_use.release()

    def _conclude(self, gauge: "_Gauge") -> None:
        peak_mib, self.reserved_mib = gauge.close()
        if peak_mib is None or gauge.level_mib is None:
            return
        # The mark may lag a little behind the level, see above; a peak below its start is no peak.
        self.peak_mib = max(peak_mib, gauge.level_mib)
        self.growth_mib = self.peak_mib - gauge.level_mib
        self.kind = gauge.kind


class MemoryWindows:
    """The peak of a stretch of work with breaks that are not to be counted, such as validation between epochs.

    Enter it for the work and `paused()` for a break; outside of the work, a pause does nothing. The fields
    are MemoryWindow's; growth is over the level at the start of the first part.
    """

    def __init__(self, device: "str | torch.device") -> None:
        self._device = device
        self._parts: list[MemoryWindow] = []
        self._open: MemoryWindow | None = None

    def __enter__(self) -> Self:
        self._open = MemoryWindow(self._device)
        self._parts.append(self._open)
        self._open.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        window, self._open = self._open, None
        if window is not None:
            window.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """A break: memory used in the body is not counted."""
        working = self._open is not None
        if working:
            self.__exit__(None, None, None)
        yield
        if working:
            self.__enter__()

    @property
    def kind(self) -> Kind | None:
        return next((part.kind for part in self._parts if part.kind), None)

    @property
    def peak_mib(self) -> float | None:
        return _most(part.peak_mib for part in self._parts)

    @property
    def reserved_mib(self) -> float | None:
        return _most(part.reserved_mib for part in self._parts)

    @property
    def growth_mib(self) -> float | None:
        first, peak = (self._parts[0] if self._parts else None), self.peak_mib
        if first is None or first.peak_mib is None or first.growth_mib is None or peak is None:
            return None
        return peak - (first.peak_mib - first.growth_mib)


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


class _Gauge(Protocol):
    """Starts to measure when made."""

    kind: Kind
    level_mib: float | None  # at the start

    def close(self) -> tuple[float | None, float | None]:
        """Stop, and give the peak and the reserved peak in MiB."""


class _CudaGauge:
    kind: Kind = "cuda-allocated"

    def __init__(self, device: str) -> None:
        import torch

        self._cuda = torch.cuda
        self._device = device
        self._cuda.synchronize(device)
        gc.collect()
        # Blocks cached for an earlier cell would count as reserved by this one.
        self._cuda.empty_cache()
        self._cuda.reset_peak_memory_stats(device)
        self.level_mib: float | None = self._cuda.memory_allocated(device) / _MIB

    def close(self) -> tuple[float | None, float | None]:
        self._cuda.synchronize(self._device)
        allocated = self._cuda.max_memory_allocated(self._device)
        return allocated / _MIB, self._cuda.max_memory_reserved(self._device) / _MIB


class _HighWaterGauge:
    """The kernel's own mark. OSError where it cannot be reset or read: another system, a read-only /proc."""

    kind: Kind = "cpu-rss"

    def __init__(self, proc: Path) -> None:
        self._status = proc / "self/status"
        (proc / "self/clear_refs").write_text("5")  # 5 is: set the mark to the present size (man 5 proc)
        self.level_mib: float | None = self._read_mib("VmRSS")
        self._read_mib("VmHWM")

    def close(self) -> tuple[float | None, float | None]:
        return self._read_mib("VmHWM"), None

    def _read_mib(self, key: str) -> float:
        for line in self._status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return int(value.removesuffix("kB")) / 1024
        raise OSError(f"no {key} in the process's status")


class _SampledGauge:
    kind: Kind = "cpu-rss-sampled"

    def __init__(self) -> None:
        self.level_mib = self._peak_mib = _rss_mib()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-sampler", daemon=True)
        self._thread.start()

    def close(self) -> tuple[float | None, float | None]:
        self._stop.set()
        self._thread.join()
        self._sample()
        return self._peak_mib, None

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        size = _rss_mib()
        if size is not None:
            self._peak_mib = max(size, self._peak_mib or 0.0)


def _open_gauge(device: str, proc: Path) -> _Gauge:
    """The best gauge there is for this device, started."""
    if device.partition(":")[0] == "cuda":
        return _CudaGauge(device)
    return_freed_memory()
    try:
        return _HighWaterGauge(proc)
    except OSError:
        return _SampledGauge()


def freeze_gc() -> None:
    """Leave everything that is alive now out of later garbage collections.

    A collection walks all objects that Python tracks. Imported libraries are nearly all of them (a million objects, a
    quarter of a second), and they stay until the process ends. Call it when no cell's objects are alive: what is frozen
    is never freed if it is part of a cycle. For that reason garbage is collected first.
    """
    gc.collect()
    gc.freeze()


def return_freed_memory() -> None:
    """Hand freed memory back to the system.

    A warm worker keeps what an earlier cell freed, in cycles not yet collected and in the C library's heap.
    It would count in this cell's level, and hide this cell's growth by serving its allocations.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # only glibc has it
            ctypes.CDLL(None).malloc_trim(0)


def _rss_mib() -> float | None:
    """This process's resident size, None where the system does not tell."""
    try:
        return float(psutil.Process().memory_info().rss) / _MIB
    except (psutil.Error, OSError):
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on the device or on the host."""
    if isinstance(error, MemoryError) or "torch" not in sys.modules:  # no time to import it
        return isinstance(error, MemoryError)
    import torch

    # torch's CPU allocator has no exception of its own.
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )
