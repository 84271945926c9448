"""Methods over all tasks: means, differences, letters, ranks and costs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from made import failed, memory, parameters, record, speed

from bench.leaderboard.tables import Tables
from bench.records.record import Record


def lines(records: list[Record], against: str | None = None) -> dict[str, dict[str, Any]]:
    """By method, in the table's order."""
    return {line["method"]: line for line in Tables(records).lines("overall", against)}


def scored(scores: dict[str, dict[str, float]], seeds: int = 3, **of: Any) -> list[Record]:
    """Records of these mean scores, by task and method, that vary by seed, and not in the same way."""
    return [
        record(method, seed, score + 0.002 * (seed - (seeds - 1) / 2) * (1, -2, 1.5, 2)[at], of={"task": task}, **of)
        for task, row in scores.items() for at, (method, score) in enumerate(row.items()) for seed in range(seeds)
    ]  # fmt: skip


SCORES = {
    "one": {"pasta": 0.80, "full": 0.90, "head": 0.50, "lora": 0.895},
    "two": {"pasta": 0.70, "full": 0.80, "head": 0.60, "lora": 0.81},
}


def test_means_and_differences_by_hand() -> None:
    found = lines(scored(SCORES), against="pasta")
    assert list(found) == ["lora", "full", "pasta", "head"]
    assert [line["score_mean"] for line in found.values()] == pytest.approx([0.8525, 0.85, 0.75, 0.55])
    gains = [100 * (0.395 / 0.4 + 0.21 / 0.2) / 2, 100, 100 * (0.3 / 0.4 + 0.1 / 0.2) / 2, 0]
    assert [line["gain_percent"] for line in found.values()] == pytest.approx(gains)
    assert [line["difference_to_best"] for line in found.values()] == pytest.approx([0, -0.0025, -0.1025, -0.3025])
    assert [line["difference_to_against"] for line in found.values()] == pytest.approx([0.1025, 0.1, 0, -0.2])
    assert {line["against"] for line in found.values()} == {"pasta"}
    assert found["lora"]["difference_to_best_ci95_low"] is found["pasta"]["difference_to_against_ci95_low"] is None
    for other, mirrored in (("lora", "pasta"), ("pasta", "lora")):
        name = "against" if other == "lora" else "best"
        low, middle, high = (found[other][f"difference_to_{name}{end}"] for end in ("_ci95_low", "", "_ci95_high"))
        assert middle == pytest.approx((low + high) / 2)
        assert middle == pytest.approx(-found[mirrored][f"difference_to_{'best' if name == 'against' else 'against'}"])
    # Three comparisons with PASTA instead of all six: narrower.
    widths = [found["lora" if name == "against" else "pasta"][f"difference_to_{name}_ci95_high"] for name in
              ("against", "best")]  # fmt: skip
    assert widths[0] - 0.1025 < widths[1] + 0.1025
    alone = lines(scored(SCORES))["full"]
    assert alone["against"] is alone["difference_to_against"] is alone["difference_to_against_ci95_high"] is None


def test_letters_and_the_tasks_on_which_a_method_is_not_worse() -> None:
    found = lines(scored(SCORES))
    assert {method: line["letters"] for method, line in found.items()} == {
        "lora": "a", "full": "a", "pasta": "b", "head": "c"
    }  # fmt: skip
    assert [line["n_not_worse_than_best"] for line in found.values()] == [2, 2, 0, 0]


def test_lower_is_better() -> None:
    """Of errors the differences have the sign of an improvement, and the best has the lowest mean."""
    found = lines(scored(SCORES, higher_is_better=False))
    assert list(found) == ["head", "pasta", "full", "lora"]
    assert [line["difference_to_best"] for line in found.values()] == pytest.approx([0, -0.2, -0.3, -0.3025])
    assert {line["gain_percent"] for line in found.values()} == {None}  # full is worse than head
    assert found["head"]["score_mean"] == pytest.approx(0.55)


def test_no_mean_of_scores_of_opposite_directions() -> None:
    errors = {"three": {"pasta": 3.0, "full": 2.0, "head": 5.0, "lora": 4.0}}
    found = lines([*scored(SCORES), *scored(errors, higher_is_better=False)])
    assert {line["score_mean"] for line in found.values()} == {None}
    assert list(found) == ["full", "pasta", "lora", "head"]
    assert found["pasta"]["difference_to_best"] == pytest.approx((-0.1 - 0.1 - 1) / 3)
    assert found["pasta"]["gain_percent"] == pytest.approx(100 * (0.3 / 0.4 + 0.1 / 0.2 + 2 / 3) / 3)


def test_one_task_is_enough_and_one_seed_makes_no_claim() -> None:
    found = lines(scored({"one": SCORES["one"]}))
    assert found["pasta"]["difference_to_best_ci95_low"] < -0.1 < found["pasta"]["difference_to_best_ci95_high"]
    assert (found["pasta"]["n_tasks"], found["pasta"]["average_rank"], found["pasta"]["group"]) == (1, None, None)
    found = lines(scored({"one": SCORES["one"]}, seeds=1))
    assert found["pasta"]["difference_to_best"] == pytest.approx(-0.1, abs=0.01)
    for key in ("difference_to_best_ci95_low", "letters", "n_not_worse_than_best"):
        assert {line[key] for line in found.values()} == {None}


def test_costs_are_medians_over_tasks_and_failures_are_counted() -> None:
    costs = [(100.0, 5.0, 10), (300.0, 7.0, 12), (200.0, 9.0, 11)]
    made = [
        record("a", seed, 0.5, of={"task": f"t{at}"}, memory=memory(train_peak_mib=peak), adapter_bytes=size,
               speed=speed(train_examples_per_second=rate), parameters=parameters(share_percent=peak),
               collapsed="nothing was learned" if at == seed == 0 else None)
        for at, (peak, rate, size) in enumerate(costs) for seed in (0, 1)
    ]  # fmt: skip
    line = lines([*made, failed("a", 2, of={"task": "t0"}), failed("a", 0, of={"task": "nowhere"})])["a"]
    assert (line["peak_train_memory_mib"], line["train_examples_per_second"], line["adapter_bytes"]) == (200.0, 7.0, 11)
    assert (line["trainable_share_percent"], line["train_seconds"]) == (200.0, 8.0)
    assert (line["n_tasks"], line["n_collapsed"], line["n_failed"]) == (3, 1, 2)


def test_a_method_that_lacks_a_task_keeps_its_row_and_extra_tests_take_no_part() -> None:
    whole = scored({"one": {"a": 0.5, "b": 0.6}, "two": {"a": 0.7, "b": 0.8}})
    made = [*whole, *scored({"one": {"c": 0.99}}), failed("c", 0, of={"task": "two"})]
    found = lines(made, against="c")
    assert list(found) == ["b", "a", "c"]
    lacking = found["c"]
    assert (lacking["n_tasks"], lacking["n_failed"], lacking["n_not_worse_than_best"]) == (1, 1, 1)
    empty = ("score_mean", "difference_to_best", "letters", "average_rank", "against", "difference_to_against")
    assert [lacking[key] for key in empty] == [None] * len(empty)
    assert found["a"]["against"] is None  # nothing to compare with over all tasks
    assert [found["a"][key] for key in ("average_rank", "difference_to_best")] == [2.0, pytest.approx(-0.1)]
    assert lines([*made, *scored({"one/harder": {"a": 0.1}})]) == lines(made)
    assert lines([failed("a", 0)])["a"]["score_mean"] is None


def test_profiles_and_presets_have_tables_of_their_own() -> None:
    made = [record(method, 0, 0.5, of={"task": task, "preset": preset})
            for method in "ab" for task in ("one", "two") for preset in ("quick", "full")]  # fmt: skip
    assert [line["preset"] for line in Tables(made).lines("overall")] == ["full", "full", "quick", "quick"]


def test_ranks_by_hand() -> None:
    scores = {"one": {"a": 0.9, "b": 0.8}, "two": {"a": 0.7, "b": 0.6}, "three": {"a": 0.5, "b": 0.55}}
    found = lines(scored(scores))
    assert [line["average_rank"] for line in found.values()] == pytest.approx([4 / 3, 5 / 3])
    assert found["a"]["critical_difference"] == pytest.approx(1.960 * math.sqrt(2 * 3 / 18), 1e-3)
    assert [line["group"] for line in found.values()] == [1, 1]
    made = [record(method, 0, score, of={"task": f"t{task}"})
            for task in range(9) for method, score in (("a", 0.9), ("b", 0.5))]  # fmt: skip
    assert [line["group"] for line in lines(made).values()] == [1, 2]  # ranks 1 and 2, critical difference 0.65
