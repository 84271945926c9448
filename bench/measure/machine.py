"""How fast the machine is at this moment, to tell a slow machine from slow code."""

from __future__ import annotations

import statistics
import time

SIZE = 512
ROUNDS = 15
# Products a round: enough for a GPU's clock.
PRODUCTS = {"cpu": 1, "cuda": 64, "mps": 64}


def matmul_gflops(device: str) -> float:
    """The rate of float32 matrix products, 512 x 512, in GFLOP/s: the median of a few rounds, about 0.1 s.

    On a CPU with one thread: this is about the machine, not about how the program uses threads.
    """
    import torch

    def finished() -> float:
        if device != "cpu":
            getattr(torch, device).synchronize()
        return time.perf_counter()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    left, right = torch.ones(SIZE, SIZE, device=device), torch.ones(SIZE, SIZE, device=device)
    rounds = []
    for _ in range(ROUNDS):
        started = finished()
        for _ in range(PRODUCTS[device]):
            torch.matmul(left, right)
        rounds.append(finished() - started)
    torch.set_num_threads(threads)
    return PRODUCTS[device] * 2 * SIZE**3 / statistics.median(rounds) / 1e9
