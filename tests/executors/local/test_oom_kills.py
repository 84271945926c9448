"""How often the kernel's OOM killer has struck."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.executors.local.oom import oom_kills


@pytest.mark.parametrize(
    ("cgroup", "file", "text"),
    [
        ("0::/user/me", "sys/fs/cgroup/user/me/memory.events", "oom 9\noom_kill 3\noom_group_kill 0"),
        ("0::/of/the/host", "sys/fs/cgroup/memory.events", "oom_kill 3"),
        (
            "5:cpu:/\n4:memory:/me\n0::/",
            "sys/fs/cgroup/memory/me/memory.oom_control",
            "under_oom 0\noom_kill 3",
        ),
        ("4:memory:/docker/1", "sys/fs/cgroup/memory/memory.oom_control", "oom_kill 3"),
        ("0::/", "proc/vmstat", "nr_free_pages 7\noom_kill 3"),
        (None, "proc/vmstat", "oom_kill 3"),
    ],
)
def test_oom_kills_are_counted(cgroup: str | None, file: str, text: str, tmp_path: Path) -> None:
    contents = {"proc/self/cgroup": cgroup, file: text}
    for name, content in contents.items():
        if content is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content + "\n")
    assert oom_kills(tmp_path) == 3


def test_oom_kills_are_unknown_where_nothing_tells(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) is None
