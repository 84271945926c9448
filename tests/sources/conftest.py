"""An empty cache, no configuration of this machine, and a package index for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_index import Index

from bench.sources import package_index


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees this machine's configuration, and only the test about pip's own starts pip."""
    for name in os.environ:
        if name.startswith(("PIP_", "BENCH_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(package_index, "_pip_config_list", lambda: "")
    return tmp_path / "cache"


@pytest.fixture
def index(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    served = Index()
    monkeypatch.setenv("PIP_INDEX_URL", served.url)
    yield served
    served.stop()
