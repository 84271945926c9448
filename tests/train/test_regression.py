"""Regressions on any scale: learned standardised, predicted, scored and saved on their own."""

from __future__ import annotations

import gc
import math
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tiny as tiny_bert
import torch
from made import cell
from safetensors.torch import load_file

import bench
from bench.check import examples
from bench.errors import SourceError
from bench.grid.suites import Budget
from bench.plugins import registry
from bench.plugins.task import Example
from bench.records.record import Record
from bench.sources.digest import tree_digest
from bench.train import cell as cells
from bench.train import worker
from bench.train.adaptation import Adapted, put_on_scale
from bench.train.assignment import Assignment
from bench.train.data import Scale, encode, read

PLUGIN = """
import random
from bench.plugins.task import Example, Task

class Scaled(Task):
    source, kind, metric, max_length = "./nowhere", "regression", "spearman", 16
    factor, offset = 1.0, 0.0

    def read(self, path):
        def draw(seed, count):
            good = random.Random(seed).choices(range(9), k=count)
            return [Example(" ".join(["good"] * k + ["film"] * (8 - k)), k * self.factor + self.offset) for k in good]

        return {"train": draw(1, 120), "validation": draw(2, 30), "test": draw(3, 60)}

class Small(Scaled):
    name = "small"

class Large(Scaled):
    name, factor, offset = "large", 1e5, 1e6
"""
METHODS = ("full", "lora", "pasta", "head")


class Run:
    """Cells of the tiny BERT on the same task at two scales, each run once, with its adapter."""

    def __init__(self, folder: Path) -> None:
        self.model = tiny_bert.save(folder / "model", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        self.folder, self.plugin = folder, folder / "scaled.py"
        self.plugin.write_text(PLUGIN, encoding="utf-8")
        self.record = cache(self._record)

    def _record(self, method: str, task: str) -> Record:
        plugin = registry.methods().get(method).plugin
        recipe = {"epochs": 8.0, "min_steps": 0, "batch_size": 8, "learning_rate": 1e-3 if method == "full" else 1e-2}
        made = cell(
            method, params=plugin.Params().model_dump(mode="json"), task=task, profile=tiny_bert.profile(threads=1),
            budget=Budget(), recipe=recipe, model_source=str(self.model), model_revision=tree_digest(self.model),
        )  # fmt: skip
        job = Assignment(
            made, self.folder, self.folder / "model", (self.plugin,), 1, self.folder / "results", keep_adapter=True
        )
        with mock.patch.object(cells, "matmul_gflops", return_value=1.0), mock.patch.object(gc, "collect"):
            record, _ = worker.run_cell(job, lambda data: None)
        assert record.status == "ok", record.traceback
        return record


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("regression"))


@pytest.mark.parametrize("method", METHODS)
def test_the_scale_of_the_targets_does_not_matter(run: Run, method: str) -> None:
    small, large = (run.record(method, task) for task in ("small", "large"))
    assert large.scores["spearman"] == pytest.approx(small.scores["spearman"], abs=1e-6)
    np.testing.assert_allclose(large.losses, small.losses, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose((np.array(large.predictions) - 1e6) / 1e5, small.predictions, atol=1e-3)
    assert large.scores["mse"] == pytest.approx((small.scores["mse"] or 0) * 1e10, rel=1e-2)
    assert large.data is not None
    assert small.data is not None
    assert large.data.target_mean == pytest.approx((small.data.target_mean or 0) * 1e5 + 1e6)
    assert large.data.target_std == pytest.approx((small.data.target_std or 0) * 1e5)


def test_a_large_scale_is_learned(run: Run) -> None:
    record = run.record("full", "large")
    assert (record.scores["spearman"] or 0) > 0.95
    assert record.collapsed is None
    assert record.losses[0] == pytest.approx(1, abs=0.7)  # of standardised targets, by a head that is almost zero


@pytest.mark.parametrize("method", [*METHODS, "bitfit"])
def test_a_saved_adapter_predicts_on_the_original_scale(run: Run, method: str) -> None:
    record = run.record(method, "large")
    assert record.notes == []
    folder = run.folder / "results" / (record.adapter or "")
    assert folder.name == f"{method}-large-seed0"
    module, tokenizer = bench.load_adapter(folder)
    task = registry.tasks([run.plugin]).get("large").plugin()
    test = encode(task, task.read(run.folder)["test"], tokenizer)
    with torch.no_grad():
        found = [float(module(**test.batch([at]).inputs).logits) for at in range(len(test))]
    np.testing.assert_allclose(found, record.predictions, rtol=1e-5)
    assert [file for file in folder.iterdir() if file.suffix == ".safetensors" and load_file(file)]


@pytest.mark.parametrize("bias", [True, False])
def test_the_scale_goes_into_a_last_layer_that_has_a_bias(bias: bool) -> None:
    torch.manual_seed(0)
    dense, last = torch.nn.Linear(4, 4), torch.nn.Linear(4, 1, bias=bias)
    module, x = torch.nn.Sequential(dense, torch.nn.Tanh(), last), torch.randn(3, 4)
    with torch.no_grad():
        before = module(x)
        counts: Any = None
        folded = put_on_scale(Adapted(module, list(module.parameters()), counts), 1e6, 1e5)
        assert folded is bias
        torch.testing.assert_close(module(x), before * 1e5 + 1e6 if bias else before)


def test_targets_are_standardised_by_those_of_train(tiny: Any) -> None:
    """Targets 1, 2, 6: mean 3, variance (4 + 1 + 9) / 3."""
    task = examples.task("regression")
    train = [Example("good", label) for label in (1, 2.0, 6.0)]
    scale = Scale.of(task, train)
    assert scale == pytest.approx((3, math.sqrt(14 / 3)))
    data = encode(task, train, tiny.tokenizer, scale=scale)
    np.testing.assert_allclose(data.labels, [(label - 3) / math.sqrt(14 / 3) for label in (1, 2, 6)], rtol=1e-6)
    assert data.references == [1, 2.0, 6.0]
    assert data.constant_loss() == pytest.approx(1)


@pytest.mark.parametrize(
    ("targets", "reason"),
    [([3.0, 3.0], "are all the same"), ([1.0], "are all the same"), ([1e308, -1e308, 1e308], "have no finite")],
)
def test_targets_that_teach_nothing_are_refused(targets: list[float], reason: str, monkeypatch: Any) -> None:
    task, data = examples.task("regression"), {"train": [Example("good", target) for target in targets]}
    monkeypatch.setattr(type(task), "read", lambda self, path: data)
    with pytest.raises(SourceError, match=f"The {len(targets)} training targets of task tiny-regression {reason}"):
        read(task, Path("nowhere"))
