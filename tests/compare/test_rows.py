"""Which rows belong together, and what becomes of those that fail, vanish, or are not the same experiment."""

from __future__ import annotations

import pytest
from made import failed, measured, record, speed

from bench import profiles
from bench.comparison.rows import Event, Matched, match
from bench.grid.suites import Budget
from bench.records.record import ExtraTest, Record

OTHER = profiles.load("cpu-2core")


def seeds(method: str = "a", *which: int, **changes: object) -> list[Record]:
    return [measured(method, seed, **changes) for seed in which or (0, 1, 2)]  # type: ignore[arg-type]


def only(matched: Matched) -> Event:
    assert len(matched.events) == 1, matched.events
    return matched.events[0]


def test_rows_meet_by_all_that_names_them() -> None:
    there = seeds("a") + seeds("a", of={"variant": "r=4", "params": {"r": 4}}) + seeds("a", of={"preset": "full"})
    matched = match(there, there)
    assert [(p.row.method, p.row.variant, p.row.group.preset) for p in matched.pairs] == [
        ("a", "", "full"), ("a", "", "quick"), ("a", "r=4", "quick"),
    ]  # fmt: skip
    assert all(pair.common == [0, 1, 2] for pair in matched.pairs)
    assert matched.events == []


def test_another_code_version_is_what_a_comparison_is_for() -> None:
    matched = match(seeds("a"), seeds("a", of={"code": "f" * 16}))
    assert [pair.common for pair in matched.pairs] == [[0, 1, 2]]


def test_only_seeds_that_ended_well_in_both_count() -> None:
    base = [*seeds("a", 0, 1), failed("a", 2, "error"), measured("a", 3)]
    new = [measured("a", 0), failed("a", 1, "interrupted"), measured("a", 2), measured("a", 4)]
    assert match(base, new).pairs[0].common == [0]


@pytest.mark.parametrize("status", ["error", "oom", "timeout", "skipped"])
@pytest.mark.parametrize("broken", [(0,), (0, 1, 2)])
def test_what_succeeded_and_now_fails_is_a_regression(status: str, broken: tuple[int, ...]) -> None:
    new = [failed("a", s, status) if s in broken else measured("a", s) for s in (0, 1, 2)]
    event = only(match(seeds("a"), new))
    assert (event.what, event.regression) == ("fails", True)
    assert f"now {len(broken)} {status} at seed {', '.join(map(str, broken))}: a case of {status}" in event.text


def test_what_failed_before_may_fail_again() -> None:
    base = [measured("a", 0), failed("a", 1, "oom")]
    assert match(base, [measured("a", 0), failed("a", 1, "oom")]).events == []


def test_a_failure_at_a_seed_the_base_never_ran_is_one_only_if_nothing_else_is_left() -> None:
    assert match(seeds("a", 0), [measured("a", 0), failed("a", 7, "error")]).events == []
    assert only(match(seeds("a", 0), [failed("a", 7, "error")])).regression


def test_a_row_that_is_cured_is_named() -> None:
    event = only(match([failed("a", 0), failed("a", 1)], seeds("a", 0, 1)))
    assert (event.what, event.regression, event.text) == (
        "recovered", False, "failed before, now succeeds at seed 0, 1",
    )  # fmt: skip


def test_an_interrupted_row_is_named() -> None:
    event = only(match(seeds("a"), [*seeds("a", 0, 1), failed("a", 2, "interrupted")]))
    assert (event.what, event.regression, event.text) == ("interrupted", False, "interrupted at seed 2")


def test_a_training_that_no_longer_trains_is_a_regression() -> None:
    void = speed(train_examples_per_second=None, void="no trained parameter ever moved")
    event = only(match(seeds("a", 0, 1), [measured("a", 0), measured("a", 1, speed=void)]))
    assert (event.what, event.regression) == ("void", True)
    assert "no trained parameter ever moved" in event.text
    assert match([measured("a", 0, speed=void)], [measured("a", 0, speed=void)]).events == []


def test_a_score_that_is_undefined_now_is_a_regression() -> None:
    event = only(match(seeds("a", 0, 1), [measured("a", 0), measured("a", 1, None)]))
    assert (event.what, event.regression, event.text) == (
        "void", True, "had a score before, and has none at seed 1",
    )  # fmt: skip
    assert match([measured("a", 0, None)], [measured("a", 0, None)]).events == []


def test_a_row_that_the_new_run_was_not_asked_for_is_named() -> None:
    matched = match(seeds("a") + seeds("b"), seeds("a"))
    assert (only(matched).what, only(matched).regression) == ("missing", False)
    assert "was not asked for it" in only(matched).text


def grid(*pairs: str) -> list[Record]:
    """`a1`: method a on task 1."""
    return [measured(pair[0], of={"task": pair[1]}) for pair in pairs]


def test_a_row_whose_method_and_task_are_there_was_lost() -> None:
    event = only(match(grid("a1", "a2", "b1", "b2"), grid("a1", "a2", "b1")))
    assert (event.label, event.what, event.regression) == ("b on 2", "missing", True)


def test_a_run_that_was_cut_short_says_itself_why_rows_are_missing() -> None:
    new = [*grid("a1", "b1"), failed("a", of={"task": "2"}, status="interrupted")]
    found = {event.what: event for event in match(grid("a1", "a2", "b1", "b2"), new).events}
    assert found.keys() == {"interrupted", "missing"}
    assert not found["missing"].regression
    assert "was interrupted" in found["missing"].text


def test_what_never_succeeded_is_not_missed() -> None:
    assert match([*grid("a1"), failed("b", of={"task": "1"})], grid("a1")).events == []


def test_a_new_row_is_named() -> None:
    event = only(match(seeds("a"), [*seeds("a"), measured("b", 0), failed("b", 1, "oom")]))
    assert (event.label, event.what, event.text) == (
        "b on sms-spam", "new", "new: 1 ok and 1 oom; the base has no such row",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"budget": Budget(train_examples=99)}, "budgets differ"),
        ({"task_revision": "tree-sha256:cc"}, "task's data"),
        ({"model_revision": "tree-sha256:cc"}, "model is of another revision"),
        (
            {"profile": profiles.load("cpu").model_copy(update={"eval_batch_size": 7})},
            "profile cpu",
        ),
    ],
)
def test_another_experiment_of_the_same_name_is_not_compared(changed: dict[str, object], reason: str) -> None:
    matched = match(seeds("a"), seeds("a", of=changed))
    assert matched.pairs == []
    assert (only(matched).what, only(matched).regression) == ("incomparable", False)
    assert reason in only(matched).text


def test_a_profiles_words_for_people_are_not_the_profile() -> None:
    reworded = profiles.load("cpu").model_copy(update={"summary": "other words"})
    assert len(match(seeds("a"), seeds("a", of={"profile": reworded})).pairs) == 1


def test_profiles_are_kept_apart_unless_asked() -> None:
    base, new = seeds("a"), seeds("a", of={"profile": OTHER})
    apart = match(base, new)
    assert apart.pairs == []
    assert apart.other_profiles == [("cpu", "cpu-2core")]
    assert only(apart).text == "not compared: other profile (cpu before, cpu-2core now)"
    across = match(base, new, across_profiles=True)
    assert [(pair.row.group.profile, pair.same_profile, pair.common) for pair in across.pairs] == [
        ("cpu-2core", False, [0, 1, 2])
    ]
    assert across.events == []


def test_across_profiles_a_partner_of_the_same_profile_goes_first_and_a_choice_is_none() -> None:
    both = seeds("a") + seeds("a", of={"profile": OTHER})
    assert [p.same_profile for p in match(both, both, across_profiles=True).pairs] == [True, True]
    third = profiles.load("cpu").model_copy(update={"name": "third"})
    undecided = match(both, seeds("a", of={"profile": third}), across_profiles=True)
    assert undecided.pairs == []


def extra(method: str, seed: int, *names: str) -> Record:
    tests = {name: ExtraTest(scores={"matthews": 0.4}) for name in names}
    return measured(method, seed, extra_tests=tests)


def test_an_extra_test_is_a_row_whose_happenings_are_told_once() -> None:
    base = [extra("a", 0, "hard"), extra("b", 0, "hard")]
    matched = match(base, [extra("a", 0, "hard"), failed("b", 0, "error")])
    assert [(p.row.method, p.row.group.task, p.extra) for p in matched.pairs] == [
        ("a", "sms-spam", False), ("b", "sms-spam", False), ("a", "sms-spam/hard", True), ("b", "sms-spam/hard", True),
    ]  # fmt: skip
    assert [event.label for event in matched.events] == ["b on sms-spam"]


def test_an_extra_test_that_is_gone_is_named() -> None:
    event = only(match([extra("a", 0, "hard")], [record("a", 0)]))
    assert (event.label, event.what, event.regression) == ("a on sms-spam/hard", "missing", False)
    assert "no such test" in event.text


def test_a_row_that_is_missing_with_its_extra_test_is_told_once() -> None:
    matched = match([*seeds("a"), extra("b", 0, "hard")], seeds("a"))
    assert only(matched).label == "b on sms-spam"


def test_a_new_row_with_its_extra_test_is_told_once() -> None:
    matched = match(seeds("a"), [*seeds("a"), extra("b", 0, "hard")])
    assert only(matched).label == "b on sms-spam"


def test_the_order_of_the_records_does_not_matter() -> None:
    base, new = grid("a1", "a2", "b1", "b2"), [*grid("a1", "b1", "c1"), failed("a", of={"task": "2"})]
    assert match(base, new) == match(base[::-1], new[::-1])
