"""How fast the machine is just now, so that a slow hour is not taken for slow code."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIZE = 512
ROUNDS = 15
# A batch of products a round, so that a GPU's rounds are long enough for its clock.
PRODUCTS = {"cpu": 1, "cuda": 64}


def matmul_gflops(device: str) -> float:
    """The rate of float32 matrix products, 512 x 512, in GFLOP/s: the median of a few rounds, about 0.1 s.

    On a CPU by one thread: what the program does with threads is the program's own, and must not hide in here.
    """
    import torch

    with threads(1):
        left, right = torch.ones(SIZE, SIZE, device=device), torch.ones(SIZE, SIZE, device=device)
        count = PRODUCTS[device]
        rounds = [_seconds(left, right, count, device) for _ in range(ROUNDS)]
    return count * 2 * SIZE**3 / statistics.median(rounds) / 1e9


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch computes with so many threads, and then with as many as before."""
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
