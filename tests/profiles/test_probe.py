"""The probe on made-up /proc and /sys trees, and on the real machine."""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.profiles.probe import Machine, cpu_capabilities, cpu_cores_allowed, gpus, memory_limit_mib, mps, probe

Tree = Callable[..., tuple[Path, Path]]
CPUINFO_X86 = """processor\t: 0
model name\t: Some CPU @ 2.00GHz
flags\t\t: fpu sse2 avx2 avx512f amx_bf16

processor\t: 1
model name\t: Some CPU @ 2.00GHz
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Write a /proc/self/cgroup and files below /sys/fs/cgroup; 64 cores are allowed by affinity."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)

    def write(cgroup: str, **files: str) -> tuple[Path, Path]:
        proc, sysfs = tmp_path / "proc", tmp_path / "sys"
        (proc / "self").mkdir(parents=True)
        (proc / "self/cgroup").write_text(cgroup)
        for name, text in files.items():
            path = sysfs / "fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        return proc, sysfs

    return write


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 64), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("9900000 100000", 64),
     ("", 64), ("nonsense", 64), ("200000 0", 64)],
)  # fmt: skip
def test_cores_follow_the_v2_quota_rounded_up(tree: Tree, quota: str, cores: int) -> None:
    assert cpu_cores_allowed(*tree("0::/job\n", **{"job/cpu.max": quota})) == cores


def test_cores_take_the_tightest_quota_up_to_the_root(tree: Tree) -> None:
    quotas = {"a/cpu.max": "300000 100000", "a/b/cpu.max": "800000 100000", "cpu.max": "max 100000"}
    assert cpu_cores_allowed(*tree("0::/a/b\n", **quotas)) == 3


def test_a_group_that_a_container_cannot_see_leaves_the_root(tree: Tree) -> None:
    roots = tree("0::/../../docker/0123\n", **{"cpu.max": "400000 100000", "memory.max": str(512 * 2**20)})
    assert cpu_cores_allowed(*roots) == 4
    assert memory_limit_mib(*roots) == 512


@pytest.mark.parametrize(
    ("folder", "quota", "cores"), [("cpu", "250000", 3), ("cpu,cpuacct", "250000", 3), ("cpu", "-1", 64)]
)
def test_cores_follow_the_v1_quota(tree: Tree, folder: str, quota: str, cores: int) -> None:
    roots = tree(
        "4:cpu,cpuacct:/job\n0::/\n",
        **{f"{folder}/job/cpu.cfs_quota_us": quota, f"{folder}/job/cpu.cfs_period_us": "100000"},
    )
    assert cpu_cores_allowed(*roots) == cores


def test_cores_follow_affinity_and_are_at_least_one(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = tree("0::/\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert cpu_cores_allowed(*roots) == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(), raising=False)
    assert cpu_cores_allowed(*roots) == 1


@pytest.mark.parametrize(
    ("cgroup", "name", "text", "limit"),
    [
        ("0::/job\n", "job/memory.max", "max", None),
        ("0::/job\n", "job/memory.max", str(3 * 2**30 + 5), 3072),
        ("5:memory:/job\n", "memory/job/memory.limit_in_bytes", str(2**30), 1024),
        ("5:memory:/job\n", "memory/memory.limit_in_bytes", "9223372036854771712", None),
        ("", "memory.max", str(2**30), None),
    ],
)
def test_memory_limit(tree: Tree, cgroup: str, name: str, text: str, limit: int | None) -> None:
    assert memory_limit_mib(*tree(cgroup, **{name: text})) == limit


def test_without_proc_and_sys_nothing_is_invented(tmp_path: Path) -> None:
    machine = probe(tmp_path / "proc", tmp_path / "sys", tmp_path / "dev")
    assert machine.memory_limit_mib is None
    assert machine.cpu_capabilities == ()
    assert machine.cpu_cores_allowed >= 1
    assert machine.usable_memory_mib == machine.memory_total_mib


def test_the_processor_is_read_from_cpuinfo(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO_X86)
    assert cpu_capabilities(tmp_path) == ("avx2", "avx512f", "amx_bf16")
    assert probe(tmp_path, tmp_path, tmp_path).cpu_model == "Some CPU @ 2.00GHz"
    (tmp_path / "cpuinfo").write_text("processor : 0\nFeatures : fp asimd sve\n")
    assert cpu_capabilities(tmp_path) == ("asimd", "sve")


def test_this_machine() -> None:
    machine = probe()
    assert machine.cpu_cores_allowed >= 1
    assert machine.usable_memory_mib > 100
    assert Machine.model_validate_json(machine.model_dump_json()) == machine
    for limit, usable in ((2000, 2000), (9000, 8000), (None, 8000)):
        limited = machine.model_copy(update={"memory_total_mib": 8000, "memory_limit_mib": limit})
        assert limited.usable_memory_mib == usable


CARD = SimpleNamespace(name="NVIDIA L4", total_memory=22_563 * 2**20 + 7, major=8, minor=9)


@pytest.fixture
def torch_has(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """torch_has(*cards): as much of torch as the probe needs; there is no nvidia-smi."""
    monkeypatch.setattr(shutil, "which", lambda name: None)

    def put(*cards: SimpleNamespace) -> None:
        cuda = SimpleNamespace(
            is_available=lambda: bool(cards), device_count=lambda: len(cards), get_device_properties=cards.__getitem__
        )
        fake = SimpleNamespace(version=SimpleNamespace(cuda="12.8"), cuda=cuda)
        monkeypatch.setitem(sys.modules, "torch", fake)

    return put


@pytest.mark.parametrize("hint", ["proc/driver/nvidia/version", "dev/nvidia3", "dev/dxg"])
def test_gpus_are_read_from_torch(tmp_path: Path, torch_has: Callable[..., None], hint: str) -> None:
    torch_has(CARD, CARD)
    for name, text in [(hint, ""), ("sys/module/nvidia/version", "570.86.15\n")]:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    found = gpus(tmp_path / "proc", tmp_path / "sys", tmp_path / "dev")
    card = {"name": "NVIDIA L4", "memory_mib": 22_563, "capability": "8.9", "driver": "570.86.15", "cuda": "12.8"}
    assert [gpu.model_dump() for gpu in found] == [card, card]


def test_an_apple_gpu_is_looked_for_on_a_mac_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    available = SimpleNamespace(is_available=lambda: True)
    fake = SimpleNamespace(backends=SimpleNamespace(mps=available))
    monkeypatch.setitem(sys.modules, "torch", fake)
    for system, found in (("Linux", False), ("Darwin", True)):
        monkeypatch.setattr(platform, "system", lambda system=system: system)
        assert mps() is found


def test_without_a_hint_torch_is_not_imported(
    tmp_path: Path, torch_has: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would raise
    assert gpus(tmp_path, tmp_path, tmp_path) == ()
    torch_has()
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")  # a driver's tool without a GPU
    assert gpus(tmp_path, tmp_path, tmp_path) == ()
