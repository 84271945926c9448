"""`python -m bench tune`, for real on a tiny model."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import tiny_grid
from tiny_grid import TinyGrid

from bench.grid.recipes import load
from bench.records.store import Store

pytestmark = pytest.mark.slow


# The tiny grid's own methods train the head alone, which on random features comes to nothing: no recipe is chosen then.
LEARNER = """
from bench.plugins import Method, Params, Recipe, rates

class LearnerParams(Params):
    width: int = 1

class Learner(Method):
    name = "learner"
    summary = "all weights"
    Params = LearnerParams
    space = rates(2e-4, 2e-3)

    def recipe(self, task, config):
        return Recipe(learning_rate=1e-3, epochs=2, batch_size=4, chosen_by="nobody")

    def apply(self, model, task):
        return model.requires_grad_(True)
"""


def options(grid: TinyGrid, results: Path, trials: int) -> list[str]:
    methods = "learner,learner[width=2]"
    return ["tune", *grid.options(results), *plugin(grid), "--methods", methods, "--trials", str(trials),
            "--epochs", "20", "--min-steps", "4"]  # fmt: skip


def plugin(grid: TinyGrid) -> list[str]:
    file = grid.folder / "learner.py"
    file.write_text(LEARNER, encoding="utf-8")
    return ["--plugin", str(file)]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    """Its suite keeps the best epoch and limits test: neither is a trial's business."""
    return tiny_grid.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tuned(grid: TinyGrid) -> Path:
    """The folder of two trials, and then of a third."""
    results = grid.folder / "tuned"
    first = grid.bench(*options(grid, results, 2))
    assert first.returncode == 0, first.stderr
    assert "4 cells." in first.stderr
    again = grid.bench(*options(grid, results, 3))
    assert again.returncode == 0, again.stderr
    assert "6 cells, 4 of them finished already" in again.stderr
    return results


def test_trials_are_cells_and_what_is_finished_is_not_run_again(tuned: Path) -> None:
    records = {record.id: record for record in Store(tuned).all()[0]}
    assert len(records) == 6
    assert {len(record.losses) for record in records.values()} == {120}  # 24 examples in batches of 4; 4 would be fewer
    assert {record.cell.seed for record in records.values()} == {100}
    with (tuned / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["cells"] for row in rows} == set(records)
    for row in rows:
        record = records[row["cells"]]
        assert float(row["validation_score"]) == record.score
        assert float(row["learning_rate"]) == record.cell.recipe["learning_rate"]
        assert row["examples"] == "480"

    file = load(tuned / "recipes" / "learner.json")
    assert [(each.method, each.task) for each in file.recipes] == [
        ("learner", "tiny"),
        ("learner", None),
        ("learner[width=2]", "tiny"),
        ("learner[width=2]", None),
    ]
    best = max((row for row in rows if not row["method_params"]), key=lambda row: float(row["validation_score"]))
    assert file.recipes[0].trials == (best["cells"],)


def test_run_takes_the_recipes_and_its_records_name_them(grid: TinyGrid, tuned: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    suite = tmp_path / "plain.toml"
    suite.write_text(grid.suite.read_text().split("[recipes")[0], encoding="utf-8")
    common = ["run", *grid.options(results), *plugin(grid), "--suite", str(suite), "--methods", "learner"]
    assert grid.bench(*common).returncode == 0
    assert grid.bench(*common, "--recipes", str(tuned / "recipes")).returncode == 0
    own, found = sorted(Store(results).all()[0], key=lambda record: record.finished_at)
    assert own.recipe is not None
    assert found.recipe is not None
    assert own.recipe.chosen_by == "nobody"
    assert found.recipe.chosen_by == f"tune on validation of tiny, {found.cell.model}, seed 100"
    assert found.cell.model.startswith("tiny-bert@")
    assert (found.recipe.trials, found.recipe.trial_examples) == (3, 480)
    chosen = load(tuned / "recipes" / "learner.json").recipes[0]
    assert found.recipe.learning_rate == chosen.settings["learning_rate"]
