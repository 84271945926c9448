"""How the C library hands out memory in a process that trains on a CPU."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

# glibc's mallopt(3). Its own mapping for each tensor, and the heap's end given back whenever it is free, make the
# system clear the same pages over and over again: a tenth of a training step.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
TRIM_BYTES = 2**29
MMAP_BYTES = 2**25  # the largest that glibc takes


def keep_freed_memory() -> bool:
    """Let freed memory serve the next tensor instead of going back to the system; whether this C library does that.

    It costs no more at the peak: a block that is free is used before the heap grows. What lies free is handed back
    where a memory window opens (`bench.measure.memory`).
    """
    if not sys.platform.startswith("linux"):
        return False
    with suppress(OSError, AttributeError):  # only glibc has it
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES) and mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES))
    return False
