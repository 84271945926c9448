"""What this machine offers: the cores and memory that a process may use, and its GPUs.

Containers and batch systems often allow less than the machine has, so the limits of the process's control group count
as well as the hardware. What cannot be read is None, never zero.
"""

import math
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

_MIB = 2**20
_PROC, _SYS, _DEV = Path("/proc"), Path("/sys"), Path("/dev")

# Vector units that decide how fast matrix products are, under the kernel's own names (x86 first, then Arm).
_CAPABILITIES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
# "No limit" in control groups v1 is the largest multiple of the page size below 2**63.
_V1_UNLIMITED = 2**62


class Gpu(BaseModel):
    """One GPU that torch can use."""

    model_config = ConfigDict(frozen=True)

    name: str
    memory_mib: int
    capability: str  # the CUDA compute capability, "8.9"
    driver: str | None
    cuda: str | None  # the CUDA version torch was built with


class Machine(BaseModel):
    """The hardware and system of this process, without anything that names the machine or its user."""

    model_config = ConfigDict(frozen=True)

    cpu_model: str | None
    cpu_cores_allowed: int  # logical CPUs: least of affinity and control-group quota, see `cpu_cores_allowed`
    cpu_cores_total: int | None
    cpu_capabilities: tuple[str, ...]
    memory_total_mib: int
    memory_limit_mib: int | None  # of the control group; None where there is no limit
    os: str
    kernel: str
    machine: str  # the architecture, "x86_64"
    gpus: tuple[Gpu, ...]  # in torch's order: gpus[0] is what the device "cuda" means
    mps: bool = False  # whether torch can use an Apple GPU

    @property
    def usable_memory_mib(self) -> int:
        """Main memory that this process may fill, in MiB."""
        if self.memory_limit_mib is None:
            return self.memory_total_mib
        return min(self.memory_limit_mib, self.memory_total_mib)

    @property
    def summary(self) -> str:
        """One line: "2 cores allowed, 24,105 MiB, no GPU"."""
        cores = f"{self.cpu_cores_allowed} core{'s' if self.cpu_cores_allowed != 1 else ''} allowed"
        gpus = ", ".join(f"{gpu.name} with {gpu.memory_mib:,} MiB" for gpu in self.gpus) or "no GPU"
        return f"{cores}, {self.usable_memory_mib:,} MiB, {gpus}"


def probe(proc: Path = _PROC, sys: Path = _SYS, dev: Path = _DEV) -> Machine:
    """Look at this machine; tests give other roots.

    torch is imported only if there may be a GPU. Asking torch about one starts CUDA in this process, which from then on
    must spawn its workers, not fork them.
    """
    return Machine(
        cpu_model=_cpuinfo(proc, "model name") or platform.processor() or None,
        cpu_cores_allowed=cpu_cores_allowed(proc, sys),
        cpu_cores_total=psutil.cpu_count(),
        cpu_capabilities=cpu_capabilities(proc),
        memory_total_mib=psutil.virtual_memory().total // _MIB,
        memory_limit_mib=memory_limit_mib(proc, sys),
        os=platform.system(),
        kernel=platform.release(),
        machine=platform.machine(),
        gpus=gpus(proc, sys, dev),
        mps=mps(),
    )


def cpu_cores_allowed(proc: Path = _PROC, sys: Path = _SYS) -> int:
    """Logical CPUs that this process may use at once: the lesser of its affinity and its CPU quota, at least 1.

    A fractional quota is rounded up (1.5 CPUs count as 2): rounding down would leave CPU time unused.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *map(math.ceil, _cpu_quotas(proc, sys))]))


def memory_limit_mib(proc: Path = _PROC, sys: Path = _SYS) -> int | None:
    """The control group's memory limit in MiB: the tightest up to the root, None where there is none."""
    v2 = (_number(folder / "memory.max") for folder in _cgroup_folders("", proc, sys))
    v1 = (_number(folder / "memory.limit_in_bytes") for folder in _cgroup_folders("memory", proc, sys))
    limits = [limit for limit in (*v2, *v1) if limit is not None and limit < _V1_UNLIMITED]
    return min(limits) // _MIB if limits else None


def cpu_capabilities(proc: Path = _PROC) -> tuple[str, ...]:
    """The vector units that matter to matrix products, such as ("avx2", "avx512f")."""
    flags = set((_cpuinfo(proc, "flags") or _cpuinfo(proc, "Features") or "").split())
    return tuple(name for name in _CAPABILITIES if name in flags)


def gpus(proc: Path = _PROC, sys: Path = _SYS, dev: Path = _DEV) -> tuple[Gpu, ...]:
    """The CUDA GPUs that torch sees (CUDA_VISIBLE_DEVICES applies), in its order."""
    if not _nvidia_hinted(proc, dev):
        return ()
    import torch  # takes seconds

    if not torch.cuda.is_available():
        return ()
    driver = _text(sys / "module/nvidia/version")
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return tuple(
        Gpu(
            name=gpu.name,
            memory_mib=gpu.total_memory // _MIB,
            capability=f"{gpu.major}.{gpu.minor}",
            driver=driver,
            cuda=torch.version.cuda,
        )
        for gpu in properties
    )


def mps() -> bool:
    """Whether torch can use an Apple GPU (Metal Performance Shaders)."""
    if platform.system() != "Darwin":
        return False
    import torch  # takes seconds

    return torch.backends.mps.is_available()


def _nvidia_hinted(proc: Path, dev: Path) -> bool:
    """Whether there may be an NVIDIA GPU, by signs that are cheap to check (dxg is how WSL passes one through)."""
    return (
        (proc / "driver/nvidia").exists()
        or (dev / "dxg").exists()
        or any(dev.glob("nvidia[0-9]*"))
        or shutil.which("nvidia-smi") is not None
    )


def _cpu_quotas(proc: Path, sys: Path) -> Iterator[float]:
    """Every CPU quota above this process, in CPUs."""
    for folder in _cgroup_folders("", proc, sys):  # v2: "150000 100000" or "max 100000"
        quota, _, period = (_text(folder / "cpu.max") or "").partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)
    for folder in _cgroup_folders("cpu", proc, sys):  # v1: -1 is no quota
        v1_quota, v1_period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if v1_quota and v1_period:
            yield v1_quota / v1_period


def _cgroup_folders(controller: str, proc: Path, sys: Path) -> Iterator[Path]:
    """The folders of this process's control group and of all above it; controller "" is the v2 hierarchy.

    A container often sees only the root, which then is its own group, and not its own path: a folder that does not
    exist means no limit.
    """
    for line in (_text(proc / "self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller not in controllers.split(","):
            continue
        # "cpu" is the usual link to the joint folder "cpu,cpuacct"; some systems lack it.
        roots = {sys / "fs/cgroup" / controller, sys / "fs/cgroup" / controllers}
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for root in sorted(roots):
            for depth in range(len(parts), -1, -1):
                yield root.joinpath(*parts[:depth])


def _cpuinfo(proc: Path, key: str) -> str | None:
    """The first value under this key in /proc/cpuinfo."""
    match = re.search(rf"^{key}[ \t]*:[ \t]*(\S.*)$", _text(proc / "cpuinfo") or "", re.MULTILINE)
    return match[1].strip() if match else None


def _number(path: Path) -> int | None:
    """The non-negative whole number in a file; None where there is none ("max", "-1", no file)."""
    text = _text(path) or ""
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str | None:
    """A file's text, stripped; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
