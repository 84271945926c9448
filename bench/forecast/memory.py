"""Whether a cell fits into the memory of its profile.

On a CPU the worker's libraries count beside the tensors; the holes that its C library keeps between blocks do not. Not
part of the forecast is what a GPU holds beside the tensors: CUDA's context and loaded kernels (some 300 to 600
MiB), workspaces of cuBLAS, the allocator's rounding and fragmentation, and what fused attention saves instead of what
a CPU's does.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench import profiles
from bench.profiles import Machine, Profile

MIB = 2**20
# A worker's resident size with its libraries imported and used once, without a model: torch's CPU wheel 2.13,
# transformers 5 and PEFT 0.21 on Linux. tests/forecast/test_truth.py measures it again.
WORKER_MIB = 520


@dataclass(frozen=True)
class Memory:
    """What one worker may use, in MiB (None: unknown), and what it is the memory of."""

    mib: int | None
    of: str


def available(profile: Profile, machine: Machine) -> Memory:
    """The memory that the profile declares; else this machine's, if it supports the profile; else its minimum."""
    gpu = profile.device == "cuda"
    total: int | None
    if profile.memory_mib is not None:
        total, of = profile.memory_mib, f"the profile {profile.name}"
    elif not profiles.check(profile, machine):
        total, of = (machine.gpus[0].memory_mib if gpu else machine.usable_memory_mib), "this machine"
    else:
        total, of = profile.min_gpu_memory_mib if gpu else profile.min_memory_mib, f"the profile {profile.name}"
    return Memory(None if total is None else total // profile.workers, of)


def unfit(peak_mib: float, profile: Profile, memory: Memory) -> str | None:
    """Why a cell with this predicted peak does not fit, in a sentence; None: it does."""
    need = peak_mib + (WORKER_MIB if profile.device == "cpu" else 0)
    if memory.mib is None or need <= memory.mib:
        return None
    each = f" for each of {profile.workers} workers" if profile.workers > 1 else ""
    beside = " with its libraries" if profile.device == "cpu" else ""
    return f"training is predicted to need {need:,.0f} MiB{beside}, and {memory.of} has {memory.mib:,} MiB{each}."
