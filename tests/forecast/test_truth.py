"""Predicted memory against measured memory: methods on real weights, one on a BERT-base, in new processes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import profiles
from bench.forecast import memory
from bench.forecast.memory import MIB, WORKER_MIB
from bench.forecast.step import Shape, Step, predict
from bench.grid import models
from bench.plugins import registry
from bench.plugins.recipe import cheaper_masks
from bench.plugins.specs import build_method, parse
from bench.plugins.task import TaskContext
from bench.runner import backend
from bench.train.model import load_config

WITHIN = 0.15
ROOT = Path(__file__).parents[2]
PROFILE = profiles.load("cpu-2core")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a CPU's memory is told for glibc"),
]


def save_tiny(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    tiny = BertConfig(vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
    BertModel(tiny).save_pretrained(folder)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory, embedded: Callable[[str], Path]) -> Path:
    folder = tmp_path_factory.mktemp("minilm")
    (folder / "model").symlink_to(embedded(models.find("minilm-l6").source))
    save_tiny(folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def bert_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert-base")
    BertModel(BertConfig()).save_pretrained(folder / "model")
    save_tiny(folder / "tiny")
    return folder


def measured(folder: Path, name: str, shape: Shape) -> dict[str, float]:
    """In a worker's environment."""
    arguments = [str(folder), name, str(shape.batch), str(shape.length)]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("measured.py")), *arguments],
        env={**os.environ, **backend.worker_environment(), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


def predicted(folder: Path, name: str, shape: Shape) -> Step:
    method = build_method(registry.methods(), parse(name))
    context, config = TaskContext("truth", "classification", False, 2, (101, 102), 0), load_config(folder / "model")
    recipe = method.recipe(context, config).model_copy(update={"masks": cheaper_masks("cpu")})  # as a cell has it
    return predict(config, method, context, recipe, PROFILE, shape)


def check(folder: Path, name: str, shape: Shape, capsys: Any) -> None:
    truth, step = measured(folder, name, shape), predicted(folder, name, shape)
    growth, peak = memory.growth_mib(step, PROFILE), memory.peak_mib(step, PROFILE)
    with capsys.disabled():
        print(
            f"\n{folder.name.rstrip('0'):12} {name:14} {shape.batch} x {shape.length}:"
            f" tensors {step.growth_bytes / MIB:5.0f}, growth {growth:5.0f} of {truth['growth_mib']:5.0f} MiB"
            f" ({growth / truth['growth_mib'] - 1:+.1%}), peak {peak:5.0f} of {truth['peak_mib']:5.0f}"
            f" ({peak / truth['peak_mib'] - 1:+.1%}), worker {truth['worker_mib']:.0f}"
        )
    assert growth == pytest.approx(truth["growth_mib"], rel=WITHIN)
    # Libraries take some 90 MiB more where Python compiles them anew, having been told to write no bytecode.
    own = truth["worker_mib"] - WORKER_MIB
    assert -0.15 * WORKER_MIB < own < 0.3 * WORKER_MIB
    assert peak + own == pytest.approx(truth["peak_mib"], rel=WITHIN)


@pytest.mark.parametrize("name", ["pasta", "lora", "adapters", "prefix_tuning", "full"])
def test_methods_on_real_weights(minilm: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(minilm, name, Shape(32, 64), capsys)


def test_a_bert_base(bert_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(bert_base, "lora", Shape(8, 64), capsys)
