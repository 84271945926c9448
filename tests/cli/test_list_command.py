"""What `list` shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import Bench
from tiny_grid import TinyGrid

from bench.grid import catalogue


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_list_shows_what_there_is_as_text_and_as_json(kind: str, bench: Bench) -> None:
    entries = json.loads(bench("list", kind, "--json").out)
    assert [entry["name"] for entry in entries] == sorted(entry["name"] for entry in entries)
    assert all(entry["summary"] for entry in entries)
    done = bench("list", kind)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == [entry["name"] for entry in entries]


def test_list_without_a_kind_shows_all(bench: Bench) -> None:
    found = json.loads(bench("list", "--json").out)
    assert tuple(found) == catalogue.KINDS
    text = bench("list").out
    assert [line for line in text.splitlines() if line.endswith(":")] == [f"{kind}:" for kind in catalogue.KINDS]


def test_list_shows_plugins_and_why_one_is_broken(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_the_kind")
    listed = json.loads(bench("list", "methods", "--json", *grid.plugins, "--plugin", broken).out)
    found = {entry["name"]: entry for entry in listed}
    assert found["steady"]["status"] == "ok"
    assert found["steady"]["params"] == {"width": "int = 1", "wide": "bool = false"}
    assert found["broken"]["status"] == "broken: ModuleNotFoundError: No module named 'nothing_of_the_kind'"
    text = bench("list", "methods", "--plugin", broken).out
    assert "broken: ModuleNotFoundError" in text
