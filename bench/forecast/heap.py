"""The resident size that a sequence of large blocks takes in the heap of a CPU process: a model of glibc's malloc.

A process keeps much of what it frees: the C library takes a block of up to 32 MiB from one heap, a hole is only
used again by what fits into it, and the heap can only give back its end. So a training is resident with more than
it ever has alive. What is modelled is what glibc 2.26 and later do with blocks of many pages (malloc/malloc.c):

- the smallest hole that is large enough is used, neighbouring holes are one, and the end of the heap is grown;
- torch asks for addresses that are multiples of 64, for which glibc looks for a hole of the size and 112 bytes more:
  a hole that just such a block left is a little too small for the next of its size;
- a block over the mmap threshold is mapped apart and given back when it is freed, and then raises the threshold
  to its size (at most 32 MiB), and the threshold of giving back the heap's free end to twice that.

Not modelled are the small objects of Python and C++ between the blocks. Each can keep two holes from becoming one;
that is why workers run with glibc's caches of small blocks off (`bench.measure.allocator`), which would hold such
pieces for good. Other C libraries differ.
"""

from __future__ import annotations

import bisect

PAGE = 4096
GRANULE = 16  # sizes are multiples of it
HEADER = 8  # before each block
LEAST = 32  # the smallest chunk
ALIGNMENT = 64  # c10/core/alignment.h
FIRST_THRESHOLD = 128 * 1024  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD at the start (man mallopt)
LARGEST_THRESHOLD = 32 * 2**20


class Heap:
    """A heap that is empty at the start. peak: the most bytes that were resident, mapped blocks included.

    Args:
        mmap_threshold, trim_threshold: in bytes, where the process sets them (mallopt, GLIBC_TUNABLES); glibc moves
            neither of them then. None: glibc's own at the start.
    """

    def __init__(self, mmap_threshold: int | None = None, trim_threshold: int | None = None) -> None:
        self.peak = 0
        self._blocks: dict[int, tuple[int | None, int]] = {}  # key -> address (None: mapped apart) and size
        self._holes: list[tuple[int, int]] = []  # address and size, by address; none touches another or the end
        self._used_end = 0  # what lies from here to the end was never taken, or was freed
        self._end = 0
        self._touched = 0  # up to here pages have been written to
        self._mapped = 0
        self._moves = mmap_threshold is None and trim_threshold is None
        self._threshold = FIRST_THRESHOLD if mmap_threshold is None else mmap_threshold
        self._trim = FIRST_THRESHOLD if trim_threshold is None else trim_threshold

    def take(self, key: int, size: int) -> None:
        """A block of so many bytes, which will be known by its key."""
        if size <= 0:
            return
        chunk = max(LEAST, _up(size + HEADER, GRANULE))
        # _int_memalign asks for this much and gives back what it does not need.
        request = _up(chunk + ALIGNMENT + LEAST + HEADER, GRANULE)
        at = min(
            (index for index, (_, hole) in enumerate(self._holes) if hole >= request),
            key=lambda index: self._holes[index][1],
            default=None,
        )
        if at is not None:
            address, hole = self._holes[at]
            self._holes[at : at + 1] = [(address + chunk, hole - chunk)]
            self._blocks[key] = address, chunk
        elif self._end - self._used_end < request + LEAST and request >= self._threshold:
            self._blocks[key] = None, _up(request + HEADER, PAGE)
            self._mapped += self._blocks[key][1]
        else:
            missing = request + LEAST - (self._end - self._used_end)
            if missing > 0:
                self._end += _up(missing + FIRST_THRESHOLD, PAGE)
            self._blocks[key] = self._used_end, chunk
            self._used_end += chunk
            self._touched = max(self._touched, self._used_end)
        self.peak = max(self.peak, self._mapped + self._touched)

    def free(self, key: int) -> None:
        """Free the block of this key; one that was never taken is none."""
        address, size = self._blocks.pop(key, (None, 0))
        if address is None:
            self._mapped -= size
            if self._moves and self._threshold < size <= LARGEST_THRESHOLD:
                self._threshold, self._trim = size, 2 * size
            return
        at = bisect.bisect(self._holes, (address, 0))
        if at < len(self._holes) and self._holes[at][0] == address + size:
            size += self._holes.pop(at)[1]
        if at > 0 and sum(self._holes[at - 1]) == address:
            address, before = self._holes.pop(at - 1)
            size, at = size + before, at - 1
        if address + size < self._used_end:
            self._holes.insert(at, (address, size))
            return
        self._used_end = address
        if self._end - address >= self._trim:
            self._end = min(self._end, _up(address + FIRST_THRESHOLD + LEAST, PAGE))
            self._touched = min(self._touched, self._end)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
