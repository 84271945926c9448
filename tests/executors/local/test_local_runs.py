"""The local executor, with real processes: the ordinary course, and what a worker prints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_runs import TARGET, Children, ends, job, run

from bench.errors import UsageError
from bench.executors import Finished, Job, Progress, Started
from bench.executors.local import LocalExecutor

# The ordinary course


def test_jobs_run_in_order_on_one_warm_worker() -> None:
    events = run(job("a", "echo", 1), job("b", "pid"), job("c", "pid"), job("d", "echo", [None]))
    assert [type(event) for event in events] == [Started, Finished] * 4
    assert [event.key for event in events] == list("aabbccdd")
    found = ends(events)
    assert found["a"] == 1
    assert found["d"] == [None]
    assert found["b"] == found["c"] != os.getpid()
    assert {event.worker for event in events if isinstance(event, Started)} == {0}


def test_nothing_starts_before_the_first_event_is_asked_for(children: Children) -> None:
    LocalExecutor(TARGET).run(iter([job("a", "pid")]))
    assert not children()
    assert run() == []


def test_workers_overlap(tmp_path: Path) -> None:
    events = run(job("a", "meet", tmp_path, 0), job("b", "meet", tmp_path, 1), workers=2)
    assert ends(events) == {"a": True, "b": True}
    assert {event.worker for event in events if isinstance(event, Started)} == {0, 1}


def test_there_are_no_more_workers_than_jobs(children: Children) -> None:
    most = 0
    for _ in LocalExecutor(TARGET, workers=8).run([job("a", "pid"), job("b", "pid")]):
        most = max(most, len(children()))
    assert 1 <= most <= 2


def test_jobs_may_be_lazy_and_follow_from_results() -> None:
    results: list[int] = []

    def jobs() -> Iterator[Job]:
        yield job("0", "echo", 1)
        while results[-1] < 100:
            yield job(str(len(results)), "echo", results[-1] * 10)

    for event in LocalExecutor(TARGET).run(jobs()):
        if isinstance(event, Finished):
            results.append(event.result)
    assert results == [1, 10, 100]


def test_an_error_in_the_jobs_passes_through() -> None:
    def jobs() -> Iterator[Job]:
        yield job("a", "sleep", 60)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(LocalExecutor(TARGET, workers=2).run(jobs()))


def test_every_report_arrives_and_before_the_end() -> None:
    steps, when = [], {}
    for event in LocalExecutor(TARGET).run([job("a", "report_and_sleep", 1000, 1.0)]):
        when[type(event)] = time.monotonic()
        if isinstance(event, Progress):
            steps.append(event.data["step"])
    assert steps == list(range(1000))
    assert when[Progress] < when[Finished] - 0.5


def test_payloads_and_results_may_be_large() -> None:
    data = os.urandom(3_000_000)
    assert ends(run(job("a", "big", data)))["a"] == data + data


def test_environment_and_path_reach_the_worker_and_main_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the setup runs before the target is imported."""
    (tmp_path / "early_setup.py").write_text(
        "import os\ndef prepare():\n    os.environ['EXECUTOR_TEST_SETUP'] = 'called'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    facts = ends(run(job("a", "facts"), env={"EXECUTOR_TEST_ENV": "there"}, setup="early_setup:prepare"))["a"]
    assert facts["setup"]
    assert facts["env"] == "there"
    assert "EXECUTOR_TEST_ENV" not in os.environ
    assert facts["argv"] == 1
    assert facts["path"] == sys.path
    assert not facts["torch"]
    assert facts["main"] is None


@pytest.mark.parametrize("workers", [0, -1])
def test_the_number_of_workers_is_checked(workers: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        LocalExecutor(TARGET, workers)


# What a worker prints


def test_prints_go_to_the_log_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logs = tmp_path / "made" / "logs"
    run(job("a", "talk", "first"), job("b", "talk", "second"), log_dir=logs)
    lines = (logs / "worker-0.log").read_text().splitlines()
    ways = ["by print", "to stderr", "by the file descriptor", "by a child"]
    assert lines == [f"{text} {way}" for text in ("first", "second") for way in ways]
    run(job("c", "talk", "third"))
    assert capfd.readouterr() == ("", "")


def test_the_log_tail_is_short_and_of_this_job_alone(tmp_path: Path) -> None:
    found = ends(
        run(
            job("a", "talk", "earlier"),
            job("b", "exit_now", 1),
            job("c", "talk_and_fail_hard", "the end"),
            log_dir=tmp_path,
        )
    )
    assert found["b"].log_tail == "last words\n"
    assert found["c"].log_tail.endswith("xxx\nthe end\n")
    assert len(found["c"].log_tail) == 4096
