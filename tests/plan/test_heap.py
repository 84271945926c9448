"""The model of glibc's heap: by hand, and against the C library itself."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import random
import subprocess
import sys

import pytest

from bench.forecast.heap import FIRST_THRESHOLD, LARGEST_THRESHOLD, PAGE, Heap
from bench.measure import allocator

MIB = 2**20


def test_a_large_block_is_mapped_apart_and_given_back() -> None:
    heap = Heap()
    heap.take(1, 40 * MIB)
    heap.free(1)
    heap.take(2, MIB)
    heap.free(2)
    assert 40 * MIB <= heap.peak <= 40 * MIB + 2 * PAGE  # the small one found the large one gone


def test_a_freed_block_raises_the_threshold_so_that_its_like_come_from_the_heap() -> None:
    heap = Heap()
    for key in range(3):
        heap.take(key, MIB)
    for key in range(3):
        heap.free(key)
    for key in range(3, 6):
        heap.take(key, MIB)
    heap.free(3)
    heap.take(7, 2 * MIB)  # does not fit into the hole of one
    assert heap.peak > 5 * MIB


def test_neighbouring_holes_are_one() -> None:
    heap = Heap()
    heap.take(0, MIB)
    heap.free(0)  # from now on blocks of 1 MiB are of the heap
    for key in range(1, 5):
        heap.take(key, MIB - PAGE)
    heap.free(1)
    heap.free(2)
    before = heap.peak
    heap.take(5, 2 * MIB - 3 * PAGE)
    assert heap.peak == before


def test_a_hole_of_the_same_size_is_just_too_small_for_an_aligned_block() -> None:
    """As glibc looks for room to align; the truth of it is in the test against the C library."""
    heap = Heap()
    heap.take(0, MIB)
    heap.free(0)
    for key in (1, 2):
        heap.take(key, MIB - PAGE)
    heap.free(1)
    before = heap.peak
    heap.take(3, MIB - PAGE)
    assert heap.peak > before


def test_a_free_end_is_given_back() -> None:
    heap = Heap()
    heap.take(0, MIB)
    heap.free(0)
    for key in range(1, 9):
        heap.take(key, MIB - PAGE)
    high = heap.peak
    for key in range(8, 0, -1):
        heap.free(key)
    heap.take(20, LARGEST_THRESHOLD + PAGE)  # mapped apart, beside what is left of the heap
    assert heap.peak <= max(high, LARGEST_THRESHOLD + 2 * PAGE + 3 * MIB)


def test_blocks_of_no_bytes_and_unknown_keys_are_nothing() -> None:
    heap = Heap()
    heap.take(1, 0)
    heap.free(1)
    heap.free(99)
    assert heap.peak == 0
    assert FIRST_THRESHOLD == 131072


# Python takes no block of the heap while it replays: the table of addresses is there before.
REPLAY = """
import ctypes, json, sys
c = ctypes.CDLL(None)
class Info(ctypes.Structure):
    _fields_ = [(n, ctypes.c_size_t) for n in "arena a b c hblkhd d e f g h".split()]
c.mallinfo2.restype = Info
c.posix_memalign.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
c.free.argtypes = [ctypes.c_void_p]
events = json.loads(sys.stdin.read())
found = (ctypes.c_void_p * (1 + max(key for key, _ in events)))()
start = ctypes.addressof(found)
c.malloc_trim(0)
peak = 0
taken = lambda: (lambda i: i.arena + i.hblkhd)(c.mallinfo2())
base = taken()
for key, size in events:
    if size:
        c.posix_memalign(start + 8 * key, 64, size)
        peak = max(peak, taken() - base)
    else:
        c.free(found[key])
print(peak)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap of glibc is on glibc alone")
@pytest.mark.parametrize("thresholds", [None, (allocator.MMAP_THRESHOLD, allocator.TRIM_THRESHOLD)])
@pytest.mark.parametrize("seed", range(4))
def test_the_c_library_takes_as_much(seed: int, thresholds: tuple[int, int] | None) -> None:
    """Random trainings: activations pile up with short-lived blocks between, then go in reverse; twice."""
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("mallinfo2 came with glibc 2.33")
    draw = random.Random(seed)
    sizes = [draw.randrange(2, 40) * 64 * 1024 for _ in range(6)]
    events: list[tuple[int, int]] = []
    key = 0
    for _ in range(2):
        kept = []
        for _ in range(60):
            passing = [key + 1, key + 2]
            events += [(each, draw.choice(sizes)) for each in passing]
            key += 3
            events.append((key, draw.choice(sizes)))
            kept.append(key)
            events += [(each, 0) for each in passing]
        for each in reversed(kept):
            key += 1
            events += [(key, draw.choice(sizes)), (each, 0), (key, 0)]
    heap = Heap(*(thresholds or ()))
    for each, size in events:
        if size:
            heap.take(each, size)
        else:
            heap.free(each)
    tunables = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"
    if thresholds is not None:
        tunables = allocator.tunables()
    done = subprocess.run(
        [sys.executable, "-S", "-c", REPLAY],
        input=json.dumps(events),
        env={**os.environ, "GLIBC_TUNABLES": tunables},
        capture_output=True,
        text=True,
        check=True,
    )
    # What holes Python left at the start decides where the first blocks lie, and moves the peak by up to 8 %.
    assert heap.peak == pytest.approx(int(done.stdout), rel=0.09)
