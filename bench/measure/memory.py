"""The peak of the bytes of live tensors.

On CUDA it is torch's own account of the device. On a CPU torch keeps no such account: the profiler reports each
allocation and each release of its allocator, and what was alive before is counted by its storages. Neither depends on
what ran before in the process, as its resident size does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from torch import Tensor

MIB = 2**20
KINDS = {"cpu": "cpu-tensors", "cuda": "cuda-allocated"}  # on other devices torch keeps no peak: unknown


class TensorPeak:
    """Context manager: the most bytes that tensors on a CPU take at one time in its body.

    held: what is alive before and stays alive: tensors that share a storage count once.
    peak_bytes: with what is held; None until the body has ended without an error.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        self.peak_bytes: int | None = None
        self._held_bytes = storage_bytes(held)

    def __enter__(self) -> Self:
        from torch.autograd.profiler import profile

        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # it writes a line at each start and stop; 6: none
        self._profile = profile(profile_memory=True)
        self._profile.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._profile.__exit__(kind, error, trace)
        if error is None:
            self.peak_bytes = self._held_bytes + self._peak_of_allocations()

    def _peak_of_allocations(self) -> int:
        live = peak = 0
        sizes: dict[int, int] = {}  # address -> bytes
        for address, size in self._allocations():
            if size > 0:
                sizes[address] = size
                live += size
            else:  # a release of what was there before is none of this body's
                live -= sizes.pop(address, 0)
            peak = max(peak, live)
        return peak

    def _allocations(self) -> list[tuple[int, int]]:
        """Addresses and bytes, negative for a release, in the order of time."""
        results: Any = self._profile.kineto_results
        events, found = list(results.experimental_event_tree()), []
        while events:
            event = events.pop()
            events += event.children
            kind, fields = event.typed
            if kind.name == "Allocation" and fields.device.type == "cpu":
                found.append((event.start_time_ns, fields.ptr, fields.alloc_size))
        return [(address, size) for _, address, size in sorted(found, key=lambda each: each[0])]


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors; those that share a storage count once."""
    storages = {storage._cdata: storage for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(storage.nbytes() for storage in storages.values())


class CudaPeak:
    """Context manager: the most bytes that torch allocated, and reserved, on a CUDA device in its body.

        with CudaPeak(device) as memory:
            train()
            with memory.paused():
                validate()

    They are None where unknown, and there also if the body raised. On another device it does nothing.
    """

    def __init__(self, device: str) -> None:
        self.peak_bytes: int | None = None
        self.reserved_bytes: int | None = None
        self._device = device
        self._running = False

    def __enter__(self) -> Self:
        if not self._device.startswith("cuda"):
            return self
        from torch import cuda

        cuda.synchronize(self._device)
        gc.collect()
        cuda.empty_cache()  # blocks cached for an earlier cell would count as reserved by this one
        cuda.reset_peak_memory_stats(self._device)
        self._running = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._running:
            return
        from torch import cuda

        self._running = False
        try:
            cuda.synchronize(self._device)
            self.peak_bytes = max(cuda.max_memory_allocated(self._device), self.peak_bytes or 0)
            self.reserved_bytes = max(cuda.max_memory_reserved(self._device), self.reserved_bytes or 0)
        except RuntimeError:
            # A device that failed in the body fails again here: the body's own error is the one to show.
            if error is None:
                raise

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Memory used in this body does not count. Does nothing while nothing is being measured."""
        running = self._running
        if running:
            self.__exit__(None, None, None)
        yield
        if running:
            self.__enter__()


def process_peak_mib(status: Path = Path("/proc/self/status")) -> float | None:
    """The largest resident size that this process has had, by the kernel's high-water mark; None: not on Linux."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def return_freed_memory() -> None:
    """Return freed memory to the system, which a warm worker's C library would keep from cell to cell."""
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
