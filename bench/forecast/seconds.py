"""How long a cell takes: as records of its like did, or as long as its products take at a rate.

The rate is the one that the profile declares, or, where this machine honours the profile, that of matrix products
on it. Element-wise work and loading come on top, so a time from a rate of products is a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench import profiles
from bench.measure.machine import matmul_gflops
from bench.profiles import Machine, Profile

Source = Literal["records", "declared rate", "measured rate"]


@dataclass(frozen=True)
class Rate:
    """Products a second, in FLOP/s, and who says so."""

    flops: float
    source: Source


def rate(profile: Profile, machine: Machine) -> Rate | None:
    """The rate at which a worker of this profile multiplies; None where nobody knows."""
    if profile.gflops is not None:
        return Rate(profile.gflops * 1e9, "declared rate")
    # The probe is of float32; what this machine does in another dtype it does not tell.
    if profile.dtype != "float32" or profiles.check(profile, machine):
        return None
    threads = profile.thread_count(machine.cpu_cores_allowed) if profile.device == "cpu" else 1
    return Rate(matmul_gflops(profile.device) * threads * 1e9, "measured rate")
