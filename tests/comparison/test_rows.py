"""Which rows belong together, and what happens to those that fail, vanish, or are not the same experiment."""

from __future__ import annotations

import pytest
from made import failed, measured, speed

from bench import profiles
from bench.comparison.rows import RowEvent, match_rows, row_label
from bench.grid.suites import Budget
from bench.records.record import ExtraTest, Record

OTHER = profiles.load("cpu-2core")
VOID = speed(train_examples_per_second=None, void="no trained parameter ever moved")


def seeds(method: str = "a", *which: int, **changes: object) -> list[Record]:
    return [measured(method, seed, **changes) for seed in which or (0, 1, 2)]  # type: ignore[arg-type]


def grid(*pairs: str) -> list[Record]:
    """`a1`: method a on task 1."""
    return [measured(pair[0], of={"task": pair[1]}) for pair in pairs]


def events(base: list[Record], new: list[Record]) -> list[tuple[str, bool, str]]:
    return [(event.kind, event.regression, event.text) for event in match_rows(base, new)[1]]


def only(base: list[Record], new: list[Record]) -> RowEvent:
    (event,) = match_rows(base, new)[1]
    return event


def test_rows_meet_by_all_that_names_them_and_may_be_of_another_code_version() -> None:
    there = seeds("a") + seeds("a", of={"variant": "r=4", "params": {"r": 4}}) + seeds("a", of={"preset": "full"})
    now = [record.model_copy(update={"cell": record.cell.model_copy(update={"code": "f" * 16})}) for record in there]
    pairs, found = match_rows(there, now)
    assert [(p.row.method, p.row.variant, p.row.group.preset) for p in pairs] == [
        ("a", "", "full"), ("a", "", "quick"), ("a", "r=4", "quick"),
    ]  # fmt: skip
    assert all(pair.common == [0, 1, 2] for pair in pairs)
    assert found == []


def test_only_seeds_that_finished_in_both_count() -> None:
    base = [*seeds("a", 0, 1), failed("a", 2, "error"), measured("a", 3)]
    new = [measured("a", 0), failed("a", 1, "interrupted"), measured("a", 2), measured("a", 4)]
    assert match_rows(base, new)[0][0].common == [0]


@pytest.mark.parametrize("status", ["error", "oom", "timeout", "skipped"])
@pytest.mark.parametrize("broken", [(0,), (0, 1, 2)])
def test_what_succeeded_and_now_fails_is_a_regression(status: str, broken: tuple[int, ...]) -> None:
    new = [failed("a", s, status) if s in broken else measured("a", s) for s in (0, 1, 2)]
    event = only(seeds("a"), new)
    assert (event.kind, event.regression) == ("fails", True)
    assert f"now {len(broken)} {status} at seed {', '.join(map(str, broken))}: a case of {status}" in event.text


@pytest.mark.parametrize(
    ("base", "new", "expected"),
    [
        # Failed before; failed at a seed that the base never ran, beside seeds that did well or alone.
        ([measured("a", 0), failed("a", 1)], [measured("a", 0), failed("a", 1)], None),
        (seeds("a", 0), [measured("a", 0), failed("a", 7)], None),
        (seeds("a", 0), [failed("a", 7)], ("fails", True, "succeeded before, now 1 oom at seed 7: a case of oom")),
        ([failed("a"), failed("a", 1)], seeds("a", 0, 1),
         ("recovered", False, "failed before, now succeeds at seed 0, 1")),
        (seeds("a"), [*seeds("a", 0, 1), failed("a", 2, "interrupted")],
         ("interrupted", False, "interrupted at seed 2")),
        (seeds("a", 0, 1), [measured("a", 0), measured("a", 1, speed=VOID)],
         ("void", True, "trained before, and now does not at seed 1: no trained parameter ever moved")),
        ([measured("a", 0, speed=VOID)], [measured("a", 0, speed=VOID)], None),
        (seeds("a", 0, 1), [measured("a", 0), measured("a", 1, None)],
         ("void", True, "had a score before, and has none at seed 1")),
        ([measured("a", 0, None)], [measured("a", 0, None)], None),
        # A row that is missing: not asked for, lost, never there.
        (seeds("a") + seeds("b"), seeds("a"), ("missing", False, "missing: the new run was not asked for it")),
        (grid("a1", "a2", "b1", "b2"), grid("a1", "a2", "b1"),
         ("missing", True, "missing, although the new run has this method and this task")),
        ([*grid("a1"), failed("b", of={"task": "1"})], grid("a1"), None),
        (seeds("a"), [*seeds("a"), measured("b", 0), failed("b", 1, "oom")],
         ("new", False, "new: 1 ok and 1 oom; the base has no such row")),
    ],
)  # fmt: skip
def test_what_happened_to_a_row(base: list[Record], new: list[Record], expected: tuple[str, bool, str] | None) -> None:
    assert events(base, new) == ([expected] if expected else [])


def test_rows_missing_from_an_interrupted_run_are_no_regression() -> None:
    new = [*grid("a1", "b1"), failed("a", of={"task": "2"}, status="interrupted")]
    assert sorted(events(grid("a1", "a2", "b1", "b2"), new)) == [
        ("interrupted", False, "interrupted at seed 0"), ("missing", False, "missing: the new run was interrupted"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"budget": Budget(train_examples=99)}, "budgets differ"),
        ({"task_revision": "tree-sha256:cc"}, "revisions of the task's data"),
        ({"model_revision": "tree-sha256:cc"}, "revisions of the model differ; --across-models"),
        ({"profile": profiles.load("cpu").model_copy(update={"eval_batch_size": 7})}, "settings of the profile cpu"),
    ],
)
def test_another_experiment_of_the_same_name_is_not_compared(changed: dict[str, object], reason: str) -> None:
    pairs, (event,) = match_rows(seeds("a"), seeds("a", of=changed))
    assert pairs == []
    assert (event.kind, event.regression) == ("incomparable", False)
    assert reason in event.text


def test_profiles_are_compared_only_when_asked_for() -> None:
    reworded = profiles.load("cpu").model_copy(update={"summary": "other words"})
    assert len(match_rows(seeds("a"), seeds("a", of={"profile": reworded}))[0]) == 1
    base, new = seeds("a"), seeds("a", of={"profile": OTHER})
    pairs, (event,) = match_rows(base, new)
    assert pairs == []
    assert event.text == (
        "not compared: other profile (cpu before, cpu-2core now); --across-profiles compares what it can"
    )
    pairs, found = match_rows(base, new, across=frozenset({"profile"}))
    assert [(p.row.group.profile, p.same_profile, p.common) for p in pairs] == [("cpu-2core", False, [0, 1, 2])]
    assert found == []


def test_across_profiles_the_same_profile_goes_first_and_an_ambiguous_partner_is_none() -> None:
    both = seeds("a") + seeds("a", of={"profile": OTHER})
    assert [pair.same_profile for pair in match_rows(both, both, across=frozenset({"profile"}))[0]] == [True, True]
    third = profiles.load("cpu").model_copy(update={"name": "third"})
    assert match_rows(both, seeds("a", of={"profile": third}), across=frozenset({"profile"}))[0] == []


def test_a_retrained_checkpoint_meets_the_one_before_it_when_asked_for() -> None:
    base, new = (
        seeds("a", of={"model": f"model@{digits}", "model_revision": f"tree-sha256:{digits}"})
        for digits in ("aaaaaaaa", "bbbbbbbb")
    )
    pairs, (event,) = match_rows(base, new)
    assert pairs == []
    assert (event.kind, event.regression) == ("incomparable", False)
    assert event.text == (
        "not compared: other model (model@aaaaaaaa before, model@bbbbbbbb now); --across-models compares them"
    )
    pairs, found = match_rows(base, new, across=frozenset({"model"}))
    assert [(pair.row.group.model, pair.common) for pair in pairs] == [("model@bbbbbbbb", [0, 1, 2])]
    assert found == []
    there = [record.model_copy(update={"cell": record.cell.model_copy(update={"profile": OTHER})}) for record in new]
    _, (event,) = match_rows(base, there, across=frozenset({"model"}))
    assert event.text.startswith("not compared: other profile (cpu before, cpu-2core now); --across-profiles")
    assert len(match_rows(base, there, across=frozenset({"model", "profile"}))[0]) == 1
    lost = [
        *base,
        *seeds("a", of={"model": "model@aaaaaaaa", "model_revision": "tree-sha256:aaaaaaaa", "task": "other"}),
    ]
    more = [
        *new,
        *seeds("b", of={"model": "model@bbbbbbbb", "model_revision": "tree-sha256:bbbbbbbb", "task": "other"}),
    ]
    found = {(event.kind, event.regression) for event in match_rows(lost, more, across=frozenset({"model"}))[1]}
    assert found == {("missing", True), ("new", False)}  # the new run has the method and the task
    # Which of two checkpoints would it be?
    assert match_rows([*base, *new], seeds("a"), across=frozenset({"model"}))[0] == []


def extra(method: str, seed: int) -> Record:
    return measured(method, seed, extra_tests={"hard": ExtraTest(scores={"matthews": 0.4})})


def test_an_extra_test_is_a_row_whose_events_are_those_of_its_task() -> None:
    base = [extra("a", 0), extra("b", 0)]
    pairs, found = match_rows(base, [extra("a", 0), failed("b", 0, "error")])
    assert [(p.row.method, p.row.group.task, p.row.is_extra) for p in pairs] == [
        ("a", "sms-spam", False), ("b", "sms-spam", False), ("a", "sms-spam/hard", True), ("b", "sms-spam/hard", True),
    ]  # fmt: skip
    assert [row_label(event.row) for event in found] == ["b on sms-spam"]
    assert row_label(only([*seeds("a"), extra("b", 0)], seeds("a")).row) == "b on sms-spam"
    assert row_label(only(seeds("a"), [*seeds("a"), extra("b", 0)]).row) == "b on sms-spam"


def test_the_order_of_the_records_does_not_matter() -> None:
    base, new = grid("a1", "a2", "b1", "b2"), [*grid("a1", "b1", "c1"), failed("a", of={"task": "2"})]
    assert match_rows(base, new) == match_rows(base[::-1], new[::-1])
