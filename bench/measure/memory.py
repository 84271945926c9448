"""The peak memory of a stretch of work, and what keeps it comparable from cell to cell.

On CUDA it is torch's own account of the device. On a CPU it is the resident size of this process: Linux keeps its
high-water mark, which can be reset and read, so that nothing is sampled and the work is not slowed. (The kernel counts
pages in batches per core, so the mark may be off by some 0.1 MiB for each busy core.) Where there is no such mark, a
thread samples the resident size.
"""

import contextlib
import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

import psutil

if TYPE_CHECKING:
    import torch

Kind = Literal["cuda-allocated", "cpu-rss", "cpu-rss-sampled"]

_MIB = 2**20
_SAMPLE_SECONDS = 0.01
# Kernel and torch keep one high-water mark each: an inner measurement would reset the outer one's.
_in_use = threading.Lock()


class PeakMemory:
    """Context manager that measures the peak memory of its body.

        with PeakMemory(device) as memory:
            train()
            with memory.paused():
                validate()
        memory.peak_mib

    The results are None where unknown; they are also there if the body raised. Two measurements cannot overlap in a
    process: RuntimeError. Child processes do not count.

    peak_mib: the peak in MiB, with what was there before (libraries, the model).
    growth_mib: the peak over the level at the start, in MiB.
    reserved_mib: on CUDA the peak that torch reserved from the device, in MiB; None on a CPU.
    kind: what was measured. "cpu-rss-sampled" may miss what lasts less than 10 ms.
    """

    def __init__(self, device: "str | torch.device", proc: Path = Path("/proc")) -> None:
        self.peak_mib: float | None = None
        self.growth_mib: float | None = None
        self.reserved_mib: float | None = None
        self.kind: Kind | None = None
        self._device = str(device)
        self._proc = proc
        self._gauge: _Gauge | None = None
        self._start_mib: float | None = None

    def __enter__(self) -> Self:
        if not _in_use.acquire(blocking=False):
            raise RuntimeError("memory is being measured already: measurements in one process cannot overlap")
        try:
            self._gauge = _open_gauge(self._device, self._proc)
        except BaseException:
            _in_use.release()
            raise
        if self._start_mib is None:
            self._start_mib = self._gauge.level_mib
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gauge, self._gauge = self._gauge, None
        if gauge is None:  # an error ended a pause
            return
        try:
            self._add(gauge)
        except RuntimeError:
            # A device that failed in the body fails again here: the body's own error is the one to show.
            if error is None:
                raise
        except OSError:
            pass  # unknown, which is no reason to lose the work that was measured
        finally:
            _in_use.release()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Memory used in this body does not count. Does nothing while nothing is being measured."""
        running = self._gauge is not None
        if running:
            self.__exit__(None, None, None)
        yield
        if running:
            self.__enter__()

    def _add(self, gauge: "_Gauge") -> None:
        peak_mib, reserved_mib = gauge.close()
        if reserved_mib is not None:
            self.reserved_mib = max(reserved_mib, self.reserved_mib or 0.0)
        if peak_mib is None or gauge.level_mib is None or self._start_mib is None:
            return
        # The mark may lag a little behind the level: the peak is at least the level.
        self.peak_mib = max(peak_mib, gauge.level_mib, self.peak_mib or 0.0)
        self.growth_mib = self.peak_mib - self._start_mib
        self.kind = gauge.kind


class _Gauge(Protocol):
    """Measures from its creation on."""

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
        (proc / "self/clear_refs").write_text("5")  # 5 sets the mark to the present size (man 5 proc)
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
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        size = _rss_mib()
        if size is not None:
            self._peak_mib = max(size, self._peak_mib or 0.0)


def _open_gauge(device: str, proc: Path) -> _Gauge:
    """The best gauge for this device, started."""
    if device.partition(":")[0] == "cuda":
        return _CudaGauge(device)
    return_freed_memory()
    try:
        return _HighWaterGauge(proc)
    except OSError:
        return _SampledGauge()


def _rss_mib() -> float | None:
    """This process's resident size; None where the system does not tell."""
    try:
        return float(psutil.Process().memory_info().rss) / _MIB
    except (psutil.Error, OSError):
        return None


def return_freed_memory() -> None:
    """Return freed memory to the system.

    A warm worker holds what an earlier cell freed, in uncollected cycles and in the C library's heap. It would count
    in this cell's level, and allocations served from it would not show as growth.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # only glibc has it
            ctypes.CDLL(None).malloc_trim(0)


def freeze_gc() -> None:
    """Leave everything that is alive now out of later garbage collections.

    A collection walks all objects that Python tracks. Imported libraries are nearly all of them (a million objects, a
    quarter of a second), and they stay until the process ends. Call it when no cell's objects are alive: what is frozen
    is never freed if it is part of a cycle. For that reason garbage is collected first.
    """
    gc.collect()
    gc.freeze()
