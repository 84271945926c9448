"""Cells whose task has a metric of probabilities, or one of a file of its own."""

from __future__ import annotations

import gc
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tiny as tiny_bert
from made import cell
from sklearn.metrics import roc_auc_score

from bench.grid.suites import Budget
from bench.leaderboard.ranking import sample
from bench.plugins import registry
from bench.records.record import Record
from bench.train import cell as cells
from bench.train import worker
from bench.train.assignment import Assignment

PLUGIN = """
from bench.check.examples import examples
from bench.plugins import Metric, Task

WORDS = ("good", "bad", "film")

class _Made(Task):
    source, max_length = "./nowhere", 16

    def read(self, path):
        return {{name: [each._replace(label=self.label(each.text)) for each in examples("classification", 40, seed)]
                 for seed, name in enumerate(("train", "validation", "test"))}}

class Two(_Made):
    name, kind, labels, metric = "two", "classification", ("no", "yes"), {metric!r}
    def label(self, text): return int("good" in text)

class Several(_Made):
    name, kind, labels, metric = "several", "multi-label", WORDS, {metric!r}
    def label(self, text): return tuple(at for at, word in enumerate(WORDS) if word in text)

class Exact(Metric):
    name, kinds, companions = "exact", ("classification", "multi-label"), ("auroc", "f1_macro")
    def compute(self, predictions, references, labels):
        return sum(one == other for one, other in zip(predictions, references)) / len(references)

class Hopeless(Exact):
    name = "hopeless"
    def leave_one_out(self, predictions, references, labels): return None
"""


def run(tiny: tiny_bert.Tiny, tmp_path: Path, task: str, metric: str) -> Record:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN.format(metric=metric), encoding="utf-8")
    params = registry.methods().get("bitfit").plugin.Params().model_dump(mode="json")
    recipe = {"epochs": 1.0, "min_steps": 0, "batch_size": 8}
    made = cell(
        "bitfit", params=params, task=task, profile=tiny_bert.profile(threads=1), budget=Budget(), recipe=recipe
    )
    with mock.patch.object(cells, "matmul_gflops", return_value=1.0), mock.patch.object(gc, "collect"):
        record, _ = worker.run_cell(Assignment(made, tmp_path, tiny.path, (plugin,), 1, None), lambda data: None)
    assert record.status == "ok", record.traceback
    return record


@pytest.mark.parametrize(
    ("task", "companions"), [("two", ["accuracy", "f1_macro"]), ("several", ["f1_macro", "subset_accuracy"])]
)
def test_a_metric_of_probabilities(tiny: tiny_bert.Tiny, tmp_path: Path, task: str, companions: list[str]) -> None:
    record = run(tiny, tmp_path, task, "auroc")
    assert list(record.scores) == ["auroc", *companions]
    assert record.constant_score == 0.5
    given = np.array(list(record.predictions))
    true = np.array(
        [[label in row for label in range(3)] if isinstance(row, list) else row for row in record.references]
    )
    assert given.shape == true.shape
    assert record.scores["auroc"] == pytest.approx(roc_auc_score(true, given, average="macro"))
    assert len(record.shares) == 0  # they are computed from the record when they are used
    shares = sample([record]).per_example
    assert shares is not None
    # A jackknife estimate of bias is all that separates their mean from the score.
    assert shares[0].mean() == pytest.approx(record.scores["auroc"], abs=0.05)


def test_a_metric_of_a_file_leaves_its_shares_in_the_record(tiny: tiny_bert.Tiny, tmp_path: Path) -> None:
    record = run(tiny, tmp_path, "two", "exact")
    assert list(record.scores) == ["exact", "f1_macro"]  # auroc would need probabilities
    right = [one == other for one, other in zip(record.predictions, record.references, strict=True)]
    np.testing.assert_allclose(list(record.shares), right, atol=1e-12)
    shares = sample([record]).per_example
    assert shares is not None
    np.testing.assert_allclose(shares[0], right, atol=1e-12)
    assert record.notes == []
    assert sample([record.model_copy(update={"shares": ()})]).per_example is None


def test_a_metric_without_shares_is_told(tiny: tiny_bert.Tiny, tmp_path: Path) -> None:
    record = run(tiny, tmp_path, "two", "hopeless")
    assert sample([record]).per_example is None
    assert record.notes == [
        "The metric hopeless has no score without each example, so methods are compared by seed alone."
    ]
