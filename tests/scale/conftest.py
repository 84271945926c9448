"""What the tests of large folders share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.index import file
from bench.records.store import Store


@pytest.fixture
def every_folder_has_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "LEAST", 1)
    monkeypatch.setattr(file, "FRESH_SECONDS", -1.0)  # what was written just now counts as settled


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Store:
    """A copy of the folder that the test's module has written."""
    shutil.copytree(written, tmp_path / "r")
    return Store(tmp_path / "r")
