"""Whether the kernel has killed processes for lack of memory (Linux)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def oom_kills(root: Path = Path("/")) -> int | None:
    """How many processes of this process's memory cgroup the kernel has killed for lack of memory.

    Of the whole machine where the cgroup does not tell; None where nothing does (not Linux, an old kernel).
    """
    for file in [*_cgroup_files(root), root / "proc/vmstat"]:
        with suppress(OSError):
            for line in file.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return None


def _cgroup_files(root: Path) -> Iterator[Path]:
    """Where the counter may be. In a container the path can be the host's, and its folder be the top one."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                top, name = root / "sys/fs/cgroup", "memory.events"
            elif "memory" in controllers.split(","):
                top, name = root / "sys/fs/cgroup/memory", "memory.oom_control"
            else:
                continue
            yield top / path.lstrip("/") / name
            yield top / name
