"""Each clause catches the tasks that break its promise; tasks that keep all of them pass."""

from pathlib import Path

import broken_tasks
import pytest
from honest_plugins import Seasons

from bench.check.checking import task_outcomes
from bench.check.reading import Reading
from bench.check.task_checks import DATA, STATIC
from bench.errors import SourceError
from bench.plugins.task import Task

CLAUSES = {clause.name: clause for clause in (*STATIC, *DATA)}


def reading(task: type[Task]) -> Reading:
    return Reading(task, lambda: Path(Seasons.source))


def test_every_clause_has_a_task_that_breaks_it() -> None:
    assert broken_tasks.BROKEN.keys() == CLAUSES.keys()


@pytest.mark.parametrize("task", [Seasons, broken_tasks.Temperatures, broken_tasks.Words])
def test_a_task_that_keeps_the_contract_passes(task: type[Task]) -> None:
    outcomes = list(task_outcomes(reading(task), with_data=True))
    assert [outcome for outcome in outcomes if outcome.status != "ok"] == []
    assert [outcome.clause for outcome in outcomes] == list(CLAUSES)


@pytest.mark.parametrize(
    ("clause", "task"), [(clause, task) for clause, every in broken_tasks.BROKEN.items() for task in every]
)
def test_a_broken_promise_is_caught_and_named(clause: str, task: type[Task]) -> None:
    looked_at = set(CLAUSES) - {"reads-alike"} | {clause}  # which takes a process
    if clause == "reads":
        looked_at = {each.name for each in (*STATIC, DATA[0])}
    found = [each.check(reading(task)) for name, each in CLAUSES.items() if name in looked_at]
    failed = {outcome.clause: outcome.reason for outcome in found if outcome.status != "ok"}
    assert broken_tasks.BROKEN[clause][task] in (failed.get(clause) or "")
    assert failed.keys() == {clause} | broken_tasks.ALSO[task], failed


def test_what_cannot_be_read_is_said_once_and_nothing_of_it_without_data() -> None:
    outcomes = list(task_outcomes(reading(broken_tasks.Fails), with_data=True))
    assert [(outcome.clause, outcome.status) for outcome in outcomes[-2:]] == [("source", "ok"), ("reads", "failed")]
    outcomes = list(task_outcomes(reading(broken_tasks.Fails), with_data=False))
    assert [outcome.clause for outcome in outcomes] == [clause.name for clause in STATIC]


def test_a_source_that_cannot_be_had_is_said() -> None:
    def locate() -> Path:
        raise SourceError("No network.")

    outcome = CLAUSES["reads"].check(Reading(Seasons, locate))
    assert outcome.reason == "No network. (--no-data leaves the data out)"


def test_another_process_that_fails_is_a_failure() -> None:
    class Local(Seasons):
        """Out of reach for another process."""

    outcome = CLAUSES["reads-alike"].check(reading(Local))
    assert outcome.reason is not None
    assert outcome.reason.startswith("ChildProcessError: AttributeError: ")
