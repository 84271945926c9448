"""How fast the machine is at this moment, to tell a slow machine from slow code."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIZE = 512
ROUNDS = 15
# Products a round: enough for a GPU's clock.
PRODUCTS = {"cpu": 1, "cuda": 64}


def matmul_gflops(device: str) -> float:
    """The rate of float32 matrix products, 512 x 512, in GFLOP/s: the median of a few rounds, about 0.1 s.

    On a CPU with one thread: this is about the machine, not about how the program uses threads.
    """
    import torch

    with threads(1):
        left, right = torch.ones(SIZE, SIZE, device=device), torch.ones(SIZE, SIZE, device=device)
        count = PRODUCTS[device]
        rounds = [_seconds(left, right, count, device) for _ in range(ROUNDS)]
    return count * 2 * SIZE**3 / statistics.median(rounds) / 1e9


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch computes with this many threads, and afterwards with as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(left: object, right: object, count: int, device: str) -> float:
    import torch

    if device != "cpu":
        torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(count):
        torch.matmul(left, right)  # type: ignore[arg-type]
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started
