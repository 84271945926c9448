"""Predicted memory against the memory that the loop measures: all methods on real weights and on two base models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import profiles
from bench.errors import NotApplicable
from bench.forecast.lengths import Lengths, batches
from bench.forecast.memory import MIB, WORKER_MIB
from bench.forecast.step import predict
from bench.grid import models, seeds
from bench.measure.memory import TensorPeak
from bench.plugins import registry
from bench.plugins.recipe import Recipe, cheaper_masks
from bench.plugins.specs import build_method, parse
from bench.plugins.task import TaskContext
from bench.train import kernels
from bench.train.adaptation import adapt
from bench.train.data import Encoded
from bench.train.loop import Callbacks, train
from bench.train.model import load_config, load_model

WITHIN = 0.05
METHODS = ("pasta", "lora", "bitfit", "prompt_tuning", "prefix_tuning", "adapters", "ia3", "head", "full")
PROFILE = profiles.load("cpu-2core")
CLS, SEP, SEED = 1, 2, 3

pytestmark = pytest.mark.slow


def save_random(name: str, folder: Path) -> Path:
    """A model of the family's base size, which its configuration has by default, with random weights."""
    from transformers import AutoConfig, AutoModel

    special = {"pad_token_id": 0, "bos_token_id": CLS, "eos_token_id": SEP, "cls_token_id": CLS, "sep_token_id": SEP}
    config = AutoConfig.for_model(name, **special)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def minilm(embedded: Callable[[str], Path]) -> Path:
    return embedded(models.find("minilm-l6").source)


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random(request.param, tmp_path_factory.mktemp(request.param) / f"{request.param}-base")


def examples(lengths: np.ndarray, segments: bool) -> Encoded:
    draw = np.random.default_rng(0)
    ids = [np.array([CLS, *draw.integers(200, 300, n - 2), SEP], dtype=np.int32) for n in lengths]
    inputs = {"input_ids": ids, "attention_mask": [np.ones_like(row) for row in ids]}
    if segments:
        inputs["token_type_ids"] = [np.zeros_like(row) for row in ids]
    labels = np.arange(len(ids)) % 2
    return Encoded("classification", 0, inputs, labels, list(labels), [], 2)


def measured(folder: Path, name: str, recipe: Recipe, context: TaskContext, lengths: np.ndarray) -> int:
    """The peak of a training in bytes, as a cell measures it."""
    config = load_config(folder)
    model = load_model(folder, "classification", 2, recipe.dropout)
    adapted = adapt(model, build_method(registry.methods(), parse(name)), context, seeds.streams(0))
    kernels.install(adapted.module, recipe.masks)
    peaks = []

    def measure(held: Any, compute: Any) -> None:
        with TensorPeak(held) as peak:
            compute()
        peaks.append(peak.peak_bytes)

    data = examples(lengths, segments=getattr(config, "type_vocab_size", 0) > 1)
    train(adapted, data, recipe, PROFILE, SEED, Callbacks(measure=measure))
    return max(peak or 0 for peak in peaks)


def check(folder: Path, name: str, batch_size: int, lengths: np.ndarray, capsys: Any) -> None:
    method, config = build_method(registry.methods(), parse(name)), load_config(folder)
    context = TaskContext("truth", "classification", False, 2, (CLS, SEP), 0)
    changes = {"masks": cheaper_masks("cpu"), "batch_size": batch_size, "epochs": 1, "min_steps": 0}
    recipe = method.recipe(context, config).model_copy(update=changes)
    at = Lengths(128, lengths, len(lengths), None)
    drawn = batches(at, recipe, PROFILE, SEED)
    try:
        step = predict(config, method, context, recipe, PROFILE, drawn.parts, drawn.longest)
    except NotApplicable as reason:
        pytest.skip(str(reason))
    growth = step.train_growth(at, keeps_best=False)
    truth = measured(folder, name, recipe, context, lengths)
    peak, label = step.model_bytes + growth, folder.name if folder.name.endswith("base") else "minilm-l6"
    parts = ", ".join(f"{part.batch} x {part.length}" for part in drawn.parts)
    with capsys.disabled():
        print(
            f"\n{label:15} {name:14} {parts:20} growth {growth / MIB:8,.1f} peak {peak / MIB:8,.1f}"
            f" measured {truth / MIB:8,.1f} ({peak / truth - 1:+.2%})"
        )
    assert peak == pytest.approx(truth, rel=WITHIN)


@pytest.mark.parametrize("name", METHODS)
def test_methods_on_real_weights(minilm: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(minilm, name, 32, np.random.default_rng(1).integers(8, 64, 64), capsys)


@pytest.mark.parametrize("name", METHODS)
def test_methods_on_base_models(base: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(base, name, 4, np.random.default_rng(1).integers(8, 64, 4), capsys)


def test_a_worker_without_a_model_is_of_the_size_that_is_assumed() -> None:
    """Libraries take some 90 MiB more where Python compiles them anew, having been told to write no bytecode."""
    code = "from bench.train import worker; from bench.measure.memory import process_peak_mib as p; worker.warm_up()"
    done = subprocess.run([sys.executable, "-c", f"{code}; print(p())"], capture_output=True, text=True, check=True)
    assert -0.15 * WORKER_MIB < float(done.stdout) - WORKER_MIB < 0.3 * WORKER_MIB
