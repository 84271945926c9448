"""Which trials become recipes, worked by hand on made records; a task's own only where it is better beyond noise."""

from __future__ import annotations

from typing import Any

import pytest
from objective import peak, search, search_all, trained

from bench.plugins.recipe import Recipe
from bench.records.packed import PackedList
from bench.records.record import Data, Record
from bench.tuning.choice import choose
from bench.tuning.trials import trials_of

EXAMPLES = 400


def tried(
    task: str, rate: float, scores: dict[int, float | None], first_wrong: int = 0, **changes: Any
) -> list[Record]:
    """Trials with predictions: of EXAMPLES, as many are right as the score says; wrong ones begin at `first_wrong`."""
    found = []
    for seed, score in scores.items():
        if score is not None:
            wrong = {(first_wrong + at) % EXAMPLES for at in range(EXAMPLES - round(score * EXAMPLES))}
            changes |= {
                "metric": "accuracy",
                "scores": {"accuracy": score},
                "predictions": PackedList(int(at in wrong) for at in range(EXAMPLES)),
                "references": PackedList([0] * EXAMPLES),
            }
        found.append(trained(task, {"learning_rate": rate}, seed, score, **changes))
    return found


def chosen(records: list[Record], seeds: tuple[int, ...] = (100,)) -> dict[tuple[str, str | None], float]:
    """The learning rate by method and task."""
    found = choose(trials_of(records), seeds)
    return {(each.method, each.task): each.settings["learning_rate"] for each in found}


def test_one_recipe_for_all_tasks_by_shares_of_the_gain() -> None:
    """a: 0.9 is 1, 0.8 is 3/4 of the way from the constant 0.5. b: 0.6 is 1/2, 0.7 is 1. So 2 has 0.875, 1 has 0.75."""
    records = [
        *tried("a", 1, {100: 0.9}),
        *tried("a", 2, {100: 0.8}),
        *tried("b", 1, {100: 0.6}),
        *tried("b", 2, {100: 0.7}),
    ]
    assert chosen(records)["head", None] == 2


def test_a_task_has_its_own_recipe_only_where_it_is_better_beyond_noise() -> None:
    """On b 1 point is 4 of 400 examples, which any two trainings differ by; 10 points are not by chance."""
    common = [*tried("a", 1, {100: 0.9}), *tried("a", 2, {100: 0.7})]
    by_a_point = [*common, *tried("b", 1, {100: 0.80}), *tried("b", 2, {100: 0.81}, first_wrong=40)]
    by_ten = [*common, *tried("b", 1, {100: 0.80}), *tried("b", 2, {100: 0.90}, first_wrong=40)]
    assert chosen(by_a_point) == {("head", None): 1}
    assert chosen(by_ten) == {("head", None): 1, ("head", "b"): 2}


def test_a_task_has_its_own_recipe_only_if_it_is_better_at_every_seed() -> None:
    """By 10 points on average, and by more than its deviation; but seeds of one of them were lucky."""
    both = (100, 101)
    common = [
        each
        for task in "acd"
        for rate, score in ((1, 0.9), (2, 0.6))
        for each in tried(task, rate, dict.fromkeys(both, score))
    ]
    mixed = [*tried("b", 1, {100: 0.6, 101: 0.85}), *tried("b", 2, {100: 0.84, 101: 0.84}, first_wrong=40)]
    steady = [*tried("b", 1, {100: 0.6, 101: 0.8}), *tried("b", 2, {100: 0.84, 101: 0.84}, first_wrong=40)]
    assert chosen([*common, *mixed], both) == {("head", None): 1}
    assert chosen([*common, *steady], both) == {("head", None): 1, ("head", "b"): 2}


def test_the_more_was_tried_the_larger_must_the_difference_be() -> None:
    """5.5 points (60 examples against 38) have p = 0.03 alone; as the best of six others they are not beyond noise."""
    common = [*tried("a", 1, {100: 0.9}), *tried("a", 2, {100: 0.7})]
    pair = [*tried("b", 1, {100: 0.80}), *tried("b", 2, {100: 0.855}, first_wrong=60)]
    worse = [each for rate in range(3, 8) for task in "ab" for each in tried(task, rate, {100: 0.6})]
    assert ("head", "b") in chosen([*common, *pair])
    assert ("head", "b") not in chosen([*common, *pair, *worse])


def test_where_the_common_recipe_collapsed_a_task_has_its_own() -> None:
    records = [*tried("a", 1, {100: 0.9}), *tried("b", 1, {100: 0.9}), *tried("c", 1, {100: 0.4})]
    records += [*tried("a", 2, {100: 0.3}), *tried("b", 2, {100: 0.3}), *tried("c", 2, {100: 0.55})]
    assert chosen(records) == {("head", None): 1, ("head", "c"): 2}


def test_what_collapsed_or_failed_at_any_seed_is_never_chosen() -> None:
    records = [*tried("a", 1, {100: 0.95, 101: 0.4}), *tried("a", 2, {100: 0.7, 101: 0.7})]
    records += tried("a", 3, {100: 0.95, 101: None})
    assert chosen(records, (100, 101)) == {("head", None): 2}
    assert chosen(records[:2], (100, 101)) == {}


def test_of_two_with_one_mean_the_one_that_varies_less_is_chosen() -> None:
    """1: 0.80 and 0.60, the mean 0.70 less 0.141; 2: 0.68 twice. Where less is better, 0.30 plus 0.141 against 0.32."""
    records = [*tried("a", 1, {100: 0.8, 101: 0.6}), *tried("a", 2, {100: 0.68, 101: 0.68})]
    assert chosen(records, (100, 101)) == {("head", None): 2}
    less = [*tried("a", 1, {100: 0.2, 101: 0.4}, higher_is_better=False)]
    less += tried("a", 2, {100: 0.32, 101: 0.32}, higher_is_better=False)
    assert chosen(less, (100, 101)) == {("head", None): 2}


def test_settings_without_all_seeds_are_no_candidates() -> None:
    records = [*tried("a", 1, {100: 0.9}), *tried("a", 2, {100: 0.7, 101: 0.7})]
    assert chosen(records, (100, 101)) == {("head", None): 2}


def test_variants_are_chosen_for_themselves() -> None:
    of = {"variant": "r=1", "params": {"r": 1}}
    records = [*tried("a", 1, {100: 0.9}), *tried("a", 2, {100: 0.7})]
    records += [*tried("a", 1, {100: 0.7}, of=of), *tried("a", 2, {100: 0.9}, of=of)]
    assert chosen(records) == {("head", None): 1, ("head[r=1]", None): 2}


def test_a_recipe_says_where_it_is_from_and_has_every_searched_setting() -> None:
    records: list[Record] = []
    search_all(search(("a", "b")), peak(2e-3, dropout=-0.1), records)
    data = Data(examples={"train": 100, "validation": 0, "test": 5}, labels=[], label_counts={}, digest="sha256:0")
    records = [each.model_copy(update={"data": data, "losses": [1.0] * 10}) for each in records]
    (common,) = choose(trials_of(records), (100, 101))
    assert common.settings == {
        "learning_rate": 1.6e-3,
        "dropout": 0.0,  # the method's own: it was the best
        "epochs": 4,
        "min_steps": 250,
        "chosen_by": "tune on validation of a and b, minilm-l6, seeds 100, 101",
        "trials": 8,  # six rates, and the other dropout at two of them
        "trial_examples": 264,  # two epochs of 100 and two batches of 32
    }
    assert Recipe(**common.settings)
    assert [each.cell.task for each in records for cell in common.trials if cell == each.id] == ["a", "b", "a", "b"]
    assert common.task is None


def test_records_in_any_order_give_the_same_recipes() -> None:
    records: list[Record] = []
    search_all(search(("a", "b")), peak(0.02), records)
    assert choose(trials_of(records), (100, 101)) == choose(trials_of(records[::-1]), (100, 101))


@pytest.mark.parametrize("status", ["skipped", "interrupted"])
def test_what_is_not_for_a_method_and_what_was_broken_off_are_no_trials(status: str) -> None:
    assert trials_of([trained("a", {"learning_rate": 1}, 100, None).model_copy(update={"status": status})]) == []
