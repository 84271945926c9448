"""Which trial becomes a recipe, worked by hand on made records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_grid
from made import failed, record

from bench import tuning
from bench.errors import UsageError
from bench.grid.suites import Budget, Suite
from bench.plugins.recipe import LENGTH, Recipe
from bench.plugins.specs import parse_all
from bench.records.record import Data, Record
from bench.runner.options import Options
from bench.runner.request import Request

RATES = {1: 0.01, 2: 0.003, 3: 0.03}


def asked(count: int = 3, methods: str = "head", tasks: tuple[str, ...] = ("a", "b"), **more: Any) -> list[Request]:
    suite = Suite(
        name="mine", summary="for tests", methods=("head",), tasks=tasks, budget=Budget(train_examples=100, **more)
    )
    request = Request(Options(), suite, parse_all(methods), tasks, (100,), "minilm-l6")
    return tuning.trial_requests(request, count, 4, 250)


def trial(number: int, task: str, score: float | None, method: str = "head", seed: int = 100, **changes: Any) -> Record:
    """Of 100 examples in batches of 32 an epoch is 4 steps: 10 steps are 2 epochs and 2 batches."""
    of = {
        "task": task,
        "preset": f"mine-trial-{number}",
        "recipe": {"learning_rate": RATES[number], "dropout": None, "epochs": 4, "min_steps": 250, "chosen_by": "t"},
        **changes.pop("of", {}),
    }
    if score is None:
        return failed(method, seed, "error", of=of)
    recipe = Recipe(learning_rate=RATES[number], epochs=4, chosen_by="t")
    data = Data(examples={"train": 100, "validation": 0, "test": 5}, labels=[], label_counts={}, digest="sha256:0")
    return record(method, seed, score, of=of, recipe=recipe, data=data, losses=[1.0] * 10, **changes)


def chosen(records: list[Record], **more: Any) -> dict[tuple[str, str | None], tuple[float, int]]:
    """By method and task: the learning rate that was chosen, and from how many trials."""
    found = tuning.choose(tuning.trial_results(asked(**more), records))
    return {(each.method, each.task): (each.settings["learning_rate"], each.settings["trials"]) for each in found}


def test_the_best_on_validation_is_chosen_for_each_task_and_the_best_over_all_for_others() -> None:
    """a: 0.5, 0.9, 0.7 are 0, 1, 1/2 of the way; b: 0.80, 0.60, 0.78 are 1, 0, 0.9. Means: 0.5, 0.5, 0.7."""
    scores = {("a", 1): 0.5, ("a", 2): 0.9, ("a", 3): 0.7, ("b", 1): 0.80, ("b", 2): 0.60, ("b", 3): 0.78}
    records = [trial(number, task, score) for (task, number), score in scores.items()]
    assert chosen(records) == {("head", "a"): (0.003, 3), ("head", "b"): (0.01, 3), ("head", None): (0.03, 3)}


def test_a_tie_goes_to_what_was_tried_first() -> None:
    records = [trial(number, task, 0.5) for task in "ab" for number in (3, 2, 1)]
    assert set(chosen(records).values()) == {(0.01, 3)}


def test_where_less_is_better_the_least_is_chosen() -> None:
    """0.5, 0.9, 0.7 are 1, 0, 1/2 of the way: for other tasks too the first wins."""
    found = [trial(number, "a", score, higher_is_better=False) for number, score in ((1, 0.5), (2, 0.9), (3, 0.7))]
    assert chosen(found) == {("head", "a"): (0.01, 3), ("head", None): (0.01, 3)}


def test_a_trial_that_failed_counts_as_a_trial_and_as_the_worst() -> None:
    """On b trial 1 failed and lies at 0; a: 1, 0, 0.9. Over both: trial 1 has 0.5, 2 has 0.5, 3 has 0.45."""
    records = [trial(1, "a", 0.9), trial(2, "a", 0.4), trial(3, "a", 0.85)]
    records += [trial(1, "b", None), trial(2, "b", 0.8), trial(3, "b", 0.3)]
    assert chosen(records) == {("head", "a"): (0.01, 3), ("head", "b"): (0.003, 3), ("head", None): (0.01, 3)}


def test_a_trial_that_collapsed_is_never_chosen() -> None:
    """However it scores: here by a metric on which a constant answer does well."""
    made = [trial(1, "x", 0.9, collapsed="it did"), trial(2, "x", 0.6), trial(3, "x", 0.5)]
    assert chosen(made)["head", "x"] == (RATES[2], 3)


def test_a_task_on_which_nothing_finished_has_no_recipe() -> None:
    records = [trial(1, "a", 0.9), trial(2, "a", 0.4), trial(1, "b", None), trial(2, "b", None)]
    assert chosen(records) == {("head", "a"): (0.01, 2), ("head", None): (0.01, 2)}
    assert chosen(records[2:]) == {}


def test_seeds_are_averaged_and_one_that_failed_spoils_its_trial() -> None:
    requests = [*asked()]
    two = [Request(**{**vars(each), "seeds": (100, 101)}) for each in requests]
    records = [trial(1, "a", 0.9), trial(1, "a", 0.5, seed=101), trial(2, "a", 0.75), trial(2, "a", 0.75, seed=101)]
    records += [trial(3, "a", 1.0), trial(3, "a", None, seed=101)]
    tried = tuning.trial_results(two, records)
    assert [each.score for each in tried] == [pytest.approx(0.7), 0.75, None]
    found = tuning.choose(tried)
    assert found[0].settings["learning_rate"] == 0.003
    assert found[0].settings["chosen_by"] == "tune on validation of a, minilm-l6, seeds 100, 101"
    assert found[0].trials == (records[2].id, records[3].id)


def test_what_is_not_for_a_method_and_what_was_broken_off_are_no_trials() -> None:
    ended = [failed("head", 100, status, of={"task": "b", "preset": "mine-trial-1"}) for status in
             ("skipped", "interrupted")]  # fmt: skip
    assert tuning.trial_results(asked(), ended) == []


def test_a_recipe_tells_where_it_is_from() -> None:
    records = [trial(1, "a", 0.9), trial(2, "a", 0.4), trial(1, "b", 0.9), trial(2, "b", 0.4), trial(1, "c", 0.9)]
    *_, general = tuning.choose(tuning.trial_results(asked(), records))
    assert general.settings == {
        "learning_rate": 0.01,
        "dropout": None,
        "epochs": 4,
        "min_steps": 250,
        "chosen_by": "tune on validation of a, b and c, minilm-l6, seed 100",
        "trials": 2,
        "trial_examples": 264,  # two epochs of 100 and two batches of 32
    }
    assert general.trials == (records[0].id, records[2].id, records[4].id)
    assert Recipe(**general.settings)


def test_variants_of_a_method_are_chosen_apart() -> None:
    of = {"variant": "r=1", "params": {"r": 1}}
    records = [trial(1, "a", 0.9), trial(2, "a", 0.4), trial(1, "a", 0.4, of=of), trial(2, "a", 0.9, of=of)]
    found = chosen(records)
    assert (found["head", "a"], found["head[r=1]", "a"]) == ((0.01, 2), (0.003, 2))


def test_every_trial_is_a_suite_scored_on_validation_with_the_same_budget() -> None:
    first, second = asked(2, methods="head,lora[r=4],lora", epochs_scale=0.5, choose="best", test_examples=7)
    for number, each in enumerate((first, second), start=1):
        assert each.suite.name == f"mine-trial-{number}"
        assert each.suite.budget == Budget(train_examples=100, test_examples=7, score_on="validation")
        assert not each.recipes.shipped
        assert set(each.suite.recipes) == {"head", "lora"}
        assert (each.suite.recipes["lora"]["epochs"], each.suite.recipes["lora"]["min_steps"]) == (4, 250)
        assert not LENGTH & set(each.suite.recipes["head"])  # it has one of its own
    assert first.suite.recipes["lora"]["learning_rate"] == 2e-3  # the middle of 2e-4 to 2e-2
    assert second.suite.recipes["lora"]["learning_rate"] == 6.3e-4


def test_a_suite_that_validates_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="The suite mine validates nothing"):
        asked(validation_examples=0)


def test_a_method_with_nothing_to_search_is_refused(tmp_path: Path) -> None:
    grid = tiny_grid.build(tmp_path)
    request = Request.of(Options("chatty", **grid.keywords))
    with pytest.raises(UsageError, match="The method chatty has no search space"):
        tuning.trial_requests(request, 2, 1, 0)


def test_an_edge_of_what_was_tried_is_told() -> None:
    tried = tuning.trial_results(asked(), [trial(1, "a", 0.5), trial(2, "a", 0.4), trial(3, "a", 0.9)])
    assert tuning.at_the_edge(tried) == ["learning_rate"]
    tried = tuning.trial_results(asked(), [trial(1, "a", 0.9), trial(2, "a", 0.4), trial(3, "a", 0.5)])
    assert tuning.at_the_edge(tried) == []
    assert tuning.at_the_edge(tried[:2]) == []  # of two, each is an edge
