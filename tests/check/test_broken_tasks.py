"""Each check finds the tasks that violate its requirement; tasks that meet all of them pass."""

from pathlib import Path

import broken_tasks
import pytest
from broken import Broken
from broken_tasks import BROKEN
from honest_plugins import Seasons

from bench.check.checks import check_name, run_check
from bench.check.task_checks import DATA, STATIC, Reading, notes, task_outcomes
from bench.plugins import Example, Task
from bench.plugins.splits import Cut

CHECKS = {check_name(check): check for check in (*STATIC, *DATA)}


def reading(task: type[Task]) -> Reading:
    return Reading(task, Path(Seasons.source))


def test_every_check_has_a_task_that_fails_it() -> None:
    assert {broken.check for broken in BROKEN} == CHECKS.keys()


@pytest.mark.parametrize("task", [Seasons, broken_tasks.Temperatures, broken_tasks.Words])
def test_a_task_that_keeps_the_contract_passes(task: type[Task]) -> None:
    outcomes = list(task_outcomes(reading(task), with_data=True))
    assert [outcome for outcome in outcomes if outcome.status not in ("ok", "note")] == []
    assert [outcome.check for outcome in outcomes if outcome.status == "ok"] == list(CHECKS)


def test_notes_say_how_alike_the_data_are() -> None:
    """By hand: test has one of four texts in train but for a digit, and one input has two labels."""
    train = ["the first of many 1", "the second one", "The  second one", "something else"]
    splits = {
        "train": [Example(text, at % 2) for at, text in enumerate(train)],
        "validation": [Example("validated", 0)],
        "test": [Example(text, at % 2) for at, text in enumerate(["the first of many 2", "a", "b", "c"])],
    }
    task = type("Noted", (Seasons,), {"read": lambda self, path: splits})
    found = {outcome.check: outcome.reason for outcome in notes(reading(task))}
    assert found == {
        "near-duplicates": "25.0% of 4 examples of test have a near-duplicate in train",
        "examples": "1 input has more than one label, 4 for train, 1 for validation, 4 for test",
        "classes": "2: cold 55.6%, warm 44.4%",
        "fewer than 5 in train": "cold, warm",
        "words": "of an input: median 2, 95 % have up to 5, the longest 5",
        "constant answer": "accuracy 0.5000 on test, without a look at the text",
    }
    source = splits["train"] * 4
    task = type("Cutting", (Seasons,), {"read": lambda self, path: Cut(splits, source)})
    found = {outcome.check: outcome.reason for outcome in notes(reading(task))}
    assert found["examples"] == (
        "16 read, 7 removed because of equal inputs, 1 input has more than one label, 4 for train, 1 for validation, "
        "4 for test"
    )


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: f"{broken.check}-{broken.plugin.name}")
def test_a_violation_is_found_and_named(broken: Broken) -> None:
    examined = set(CHECKS) - {"reads-alike"} | {broken.check}  # which takes a process
    if broken.check == "reads":
        examined = {check_name(each) for each in (*STATIC, DATA[0])}
    found = [run_check(each, reading(broken.plugin)) for name, each in CHECKS.items() if name in examined]
    failed = {outcome.check: outcome.reason for outcome in found if outcome.status != "ok"}
    assert broken.error in (failed.get(broken.check) or "")
    assert failed.keys() == {broken.check, *broken.also}, failed


def test_what_cannot_be_read_is_said_once_and_skipped_without_data() -> None:
    broken = next(broken for broken in BROKEN if broken.check == "reads")
    outcomes = list(task_outcomes(reading(broken.plugin), with_data=True))
    assert [(outcome.check, outcome.status) for outcome in outcomes[-2:]] == [("source", "ok"), ("reads", "failed")]
    outcomes = list(task_outcomes(reading(broken.plugin), with_data=False))
    assert [outcome.check for outcome in outcomes] == [check_name(check) for check in STATIC]


def test_another_process_that_fails_is_a_failure() -> None:
    absent = type("Absent", (Seasons,), {"__module__": broken_tasks.__name__})  # the module has no class of that name
    outcome = run_check(CHECKS["reads-alike"], reading(absent))
    assert (outcome.reason or "").startswith("another process cannot read the files: AttributeError: ")
