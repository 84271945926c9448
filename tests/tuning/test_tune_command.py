"""`python -m bench tune`, for real on a tiny model."""

from __future__ import annotations

import csv
import shutil
import statistics
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


def options(grid: TinyGrid, results: Path) -> list[str]:
    return ["tune", *grid.options(results), *plugin(grid), "--methods", "learner,learner[width=2]", "--rates", "3",
            "--extensions", "1", "--epochs", "20", "--min-steps", "4"]  # fmt: skip


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
    results = grid.folder / "tuned"
    done = grid.bench(*options(grid, results))
    assert done.returncode == 0, done.stderr
    assert "trainings in all" in done.stderr
    return results


def lines(results: Path) -> list[dict[str, str]]:
    with (results / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_stage_is_cells_and_what_was_chosen_is_written(tuned: Path) -> None:
    records = {record.id: record for record in Store(tuned).all()[0]}
    assert {len(record.losses) for record in records.values()} == {120}  # 24 examples in batches of 4; 4 would be fewer
    rows = lines(tuned)
    assert sorted(cell for row in rows for cell in row["cells"].split()) == sorted(records)
    for row in rows:
        scores = [records[cell].score for cell in row["cells"].split()]
        assert float(row["validation_score"]) == pytest.approx(statistics.fmean(score or 0.0 for score in scores))
        assert row["examples"] == "480"
        assert row["learning_rate"] in records[row["cells"].split()[0]].cell.preset
    for variant in ("", "width=2"):
        of_variant = [row for row in rows if row["method_params"] == variant]
        rates = {float(row["learning_rate"]) for row in of_variant}
        assert {2e-4, 2e-3} <= rates
        assert {row["dropout"] for row in of_variant} == {"", "0.0"}  # the model's, which is the method's own, and none
        assert sum(row["seeds"] == "100 101" for row in of_variant) == 2
        assert [row["chosen"] for row in of_variant if row["chosen"]] == ["all tasks"]
    file = load(tuned / "recipes" / "learner.json")
    assert [(each.method, each.task) for each in file.recipes] == [("learner", None), ("learner[width=2]", None)]
    assert {" ".join(each.trials) for each in file.recipes} == {row["cells"] for row in rows if row["chosen"]}
    assert (tuned / "rates.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_tune_that_was_killed_goes_on_and_comes_to_the_same_end(grid: TinyGrid, tuned: Path, tmp_path: Path) -> None:
    """From the first half of its records; test_search.py has every other place."""
    whole = sorted(Store(tuned).all()[0], key=lambda record: record.finished_at)
    kept = whole[: len(whole) // 2]
    (tmp_path / "records").mkdir()
    for record in kept:
        shutil.copy(tuned / "records" / f"{record.id}.json", tmp_path / "records")
    done = grid.bench(*options(grid, tmp_path))
    assert done.returncode == 0, done.stderr
    again = {record.id: record.finished_at for record in Store(tmp_path).all()[0]}
    assert again.keys() == {record.id for record in whole}
    assert [record for record in whole if again[record.id] == record.finished_at] == kept
    for name in ("trials.csv", "recipes/learner.json"):
        assert (tmp_path / name).read_bytes() == (tuned / name).read_bytes()


def test_run_takes_the_recipes_and_its_records_name_them(grid: TinyGrid, tuned: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    suite = tmp_path / "plain.toml"
    suite.write_text(grid.suite.read_text().split("[recipes")[0], encoding="utf-8")
    common = [
        "run",
        *grid.options(results),
        *plugin(grid),
        "--suite",
        str(suite),
        "--methods",
        "learner,learner[width=3]",
    ]
    assert grid.bench(*common, "--methods", "learner").returncode == 0
    assert grid.bench(*common, "--recipes", str(tuned / "recipes")).returncode == 0
    own, *tuned_ones = sorted(Store(results).all()[0], key=lambda record: (record.started_at, record.cell.variant))
    by_variant = {record.cell.variant: record.recipe for record in tuned_ones}
    assert own.recipe is not None
    assert own.recipe.chosen_by == "nobody"
    found, inherited = by_variant[""], by_variant["width=3"]
    assert found is not None
    assert inherited is not None
    assert found.chosen_by == f"tune on validation of tiny, {own.cell.model}, seeds 100, 101"
    tried = sum(not row["method_params"] for row in lines(tuned))
    assert (found.trials, found.trial_examples) == (tried, 480)
    assert found.learning_rate == load(tuned / "recipes" / "learner.json").recipes[0].settings["learning_rate"]
    assert inherited.chosen_by == f"inherits learner's recipe: {found.chosen_by}"
    assert (inherited.learning_rate, inherited.trials, inherited.trial_examples) == (found.learning_rate, 0, None)
