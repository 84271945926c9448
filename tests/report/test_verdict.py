"""The answer in words, on made tables: who is best, what is tied, at what cost, and what is not decided."""

from __future__ import annotations

from typing import Any

import pytest

from bench.report.verdict import Board, standing, verdict

Row = dict[str, Any]


def method(name: str, score: float | None = 0.8, letters: str | None = None, **changes: Any) -> Row:
    """A line of overall.csv. difference: its interval is 0.02 to either side."""
    best = changes.pop("best", 0.9)
    line: Row = {"method": name, "score_mean": score, "letters": letters, "n_collapsed": 0, "n_failed": 0}
    if score is not None:
        line["difference_to_best"] = apart = round(score - best, 6)
        if letters and apart:
            line |= {"difference_to_best_ci95_low": apart - 0.02, "difference_to_best_ci95_high": apart + 0.02}
    return line | changes


def said(overall: list[Row], tasks: int = 2, seeds: int = 3, pairs: bool = True, **changes: Any) -> tuple[str, str]:
    """The answer and the doubts, without markup. Every method has a line for each task."""
    rows = [
        {"method": line["method"], "task": f"t{at}", "score_mean": line["score_mean"], "n_seeds": seeds, "n_failed": 0}
        for line in overall
        for at in range(tasks)
    ]
    detectable = [
        {"task": f"t{at}", "minimum_detectable_holm": size} for at in range(tasks) for size in (0.05, 0.07) if pairs
    ]
    found = verdict(Board(overall, changes.pop("rows", rows), detectable, **changes))
    return found.answer.striptags(), found.doubts.striptags()


def test_the_best_its_ties_and_their_costs() -> None:
    share, memory = "trainable_share_percent", "peak_train_memory_mib"
    answer, doubts = said([
        method("full", 0.9, "a", **{share: 100.0, memory: 900.0}),
        method("lora", 0.89, "ab", **{share: 0.3, memory: 800.0}),
        method("pasta", 0.87, "b", **{share: 0.02, memory: 700.0}),
        method("wild", 0.8, "ab", **{share: 0.01, memory: 600.0}),
    ])  # fmt: skip
    assert answer == (
        "full has the best mean score over 2 tasks: 0.900 (3 seeds). "
        "Not significantly different from it: lora (0.890). "
        "That does not show that they are equal: the data allow for a score up to 0.030 worse (95 % interval). "
        "Of these 2, lora trains the smallest share (0.300 %; full: 100 %) "
        "and needs the least memory while training (800 MiB; full: 900 MiB)."
    )
    # wild is below a method that is worse: it has no place among the ties, and none among the worse.
    assert doubts == (
        "Significantly worse: pasta (−0.030). Too uncertain to call: wild (−0.100), "
        "which varies so much over seeds or examples that no difference is significant. No training collapsed. "
        "Too close to call on a single task: differences of less than about 0.060 (found with 80 % power after "
        "correction, median of pairs). "
        "In the mean over tasks, 95 % intervals of the difference to the best reach 0.020 to either side (median)."
    )


def test_nothing_ties_with_the_best() -> None:
    answer, doubts = said([method("full", 0.9, "a"), method("a", 0.7, "b"), method("b", 0.6, "b")])
    assert answer == "full has the best mean score over 2 tasks: 0.900 (3 seeds)."
    assert doubts.startswith("All other methods are significantly worse: a (−0.200) and b (−0.300).")


def test_one_method() -> None:
    answer, doubts = said([method("only", 0.9)], pairs=False)
    assert answer == (
        "only has this mean score over 2 tasks: 0.900 (3 seeds). There is no other method to compare it with."
    )
    assert doubts == "No training collapsed."


def test_one_seed_claims_nothing() -> None:
    answer, doubts = said([method("a", 0.9), method("b", 0.8)], seeds=1, pairs=False)
    assert answer.startswith("a has the best mean score over 2 tasks: 0.900 (1 seed). It was not tested")
    assert "worse" not in answer + doubts
    assert "close to call" not in doubts


def test_a_method_of_one_seed_among_others_is_not_called_worse() -> None:
    _, doubts = said([method("a", 0.9, "a"), method("b", 0.8, "b"), method("c", 0.5)])
    assert "Significantly worse: b (−0.100). Not tested, for lack of a second seed: c (−0.400)." in doubts


def test_one_task_is_named_and_has_one_limit() -> None:
    answer, doubts = said([method("a", 0.9, "a"), method("b", 0.85, "a")], tasks=1)
    assert answer.startswith("a has the best mean score on t0: 0.900 (3 seeds).")
    assert doubts.endswith(
        "Too close to call on a single task: differences of less than about 0.060 (found with 80 % power after "
        "correction, median of pairs)."
    )


def test_lower_may_be_better() -> None:
    errors = [method("a", 0.2, "a", best=0.2), method("b", 0.5, "b", difference_to_best=-0.3)]
    answer, doubts = said(errors)
    assert answer.startswith("a has the best mean score over 2 tasks: 0.200")
    assert "Significantly worse: b (−0.300)." in doubts


def test_metrics_of_two_directions_have_a_gain_and_no_mean() -> None:
    line = {"score_mean": None, "difference_to_best": 0.0, "gain_percent": 93.04}
    rows = [{"method": "a", "task": task, "score_mean": 0.5, "n_seeds": 2, "n_failed": 0} for task in "tu"]
    answer, _ = said([method("a", None, **line)], rows=rows)
    assert "a has this mean score over 2 tasks: 93.0 % of the gain of full fine-tuning (2 seeds)." in answer


@pytest.mark.parametrize(
    ("score", "expected"),
    [(None, "No training has finished with a score, so there is nothing to compare."),
     (0.5, "No method has a score on every task, so none is the best over all of them; the tasks are below.")],
)  # fmt: skip
def test_nothing_finished(score: float | None, expected: str) -> None:
    rows = [{"method": "a", "task": "t", "score_mean": score, "n_seeds": 0, "n_failed": 3}]
    answer, doubts = said([method("a", None)], rows=rows, pairs=False)
    assert answer == expected
    assert doubts == "3 trainings failed."


def test_collapsed_trainings_are_counted_once_and_the_best_may_be_one() -> None:
    overall = [method("a", 0.9, "a", n_collapsed=5), method("b", 0.5, "b", n_collapsed=None), method("c", 0.1, "b")]
    answer, doubts = said(overall, constant={"a": 6, "b": 2})
    assert answer.endswith("None of its trainings is better than a constant answer.")
    assert "8 of 18 trainings collapsed (no better than a constant answer): a 6 and b 2." in doubts
    _, doubts = said([method("a", 0.9, n_collapsed=None)], pairs=False)
    assert "collapsed" not in doubts  # unknown is not none


def test_methods_without_every_task_are_named() -> None:
    _, doubts = said([method("a", 0.9, "a"), method("b", 0.8, "b"), method("c", None), method("d", None)])
    assert "Without a score on every task, and so not ranked: c and d." in doubts


def test_letters_after_z_are_words() -> None:
    best, same, other = method("a", 0.9, "a aa"), method("b", 0.8, "b aa"), method("c", 0.7, "b ab")
    found = standing([best, same, other])
    assert (found.tied, found.worse) == ([same], [other])


def test_names_are_escaped_and_long_lists_cut() -> None:
    hostile = "<img src=x>\u202e"
    names = [hostile, *(f"m{at}" for at in range(9))]
    found = verdict(Board([method(name, 0.9, "a") for name in names], [
        {"method": name, "task": "t", "score_mean": 0.9, "n_seeds": 2} for name in names
    ], []))  # fmt: skip
    assert "<img" not in found.answer
    assert "&lt;img src=x&gt;⟨U+202E⟩" in found.answer
    assert "m5 (0.900) and 3 more." in found.answer.striptags()
