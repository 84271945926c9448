"""How much memory a training takes beyond the loaded model, in a process of its own."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from bench.speed.setting import Files


def growth_mib(files: Files, contender: str, examples: int, seed: int, threads: int) -> float | None:
    """The peak resident size during one epoch over that at its start, in MiB; None where it cannot be known.

    A fresh process: what an earlier training left in the allocator would hide what this one takes.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_growth_here, files, contender, examples, seed, threads).result()


def _growth_here(files: Files, contender: str, examples: int, seed: int, threads: int) -> float | None:
    import torch

    from bench.measure.memory import MemoryWindow
    from bench.speed.catalogue import CONTENDERS
    from bench.speed.setting import Setting

    torch.set_num_threads(threads)
    setting, entry = Setting(files), CONTENDERS[contender]
    data = setting.sample(examples, seed)
    call = entry.make(setting, seed).prepare(data, setting.recipe(entry.method), seed)
    with MemoryWindow("cpu") as window:
        call()
    return window.growth_mib
