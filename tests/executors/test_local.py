"""The local executor, with real processes: jobs, workers, logs and progress. Its end: test_local_end."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from executor_targets import TARGET, NotOnTheOtherSide, gone, job, until

from bench.errors import BenchError
from bench.executors import Event, Finished, Job, Lost, Progress, Started
from bench.executors.local import LocalExecutor, process

FILE = Path("/proc/self/statm")  # exists where the address space can be limited
pytestmark = pytest.mark.usefixtures("nothing_left")


def run(*jobs: Job, workers: int = 1, **options: Any) -> list[Event]:
    return list(LocalExecutor(TARGET, workers, **options).run(jobs))


def ends(events: Iterable[Event]) -> dict[str, Any]:
    """How each job ended: its result, or its Lost."""
    found: dict[str, Any] = {}
    for event in events:
        if isinstance(event, Finished | Lost):
            assert event.key not in found
            found[event.key] = event.result if isinstance(event, Finished) else event
    return found


# Jobs that fail, and what they do to their worker

JOBS = [
    job("first", "pid"),
    job("fail", "fail", "two\nlines"),
    job("leave", "leave"),
    job("payload", "echo", NotOnTheOtherSide()),
    job("result there", "unpicklable"),
    job("result here", "not_on_the_other_side"),
    job("after failures", "pid"),
    job("memory", "raise_memory_error"),
    job("after memory", "pid"),
    *([job("all memory", "exhaust_memory")] if FILE.exists() else []),
    job("retire", "retire"),
    job("after retire", "pid"),
    job("leaves children", "leave_children"),
    job("after children", "pid"),
    job("talk", "talk", "earlier"),
    job("exit 1", "exit_now", 1),
    job("exit 0", "exit_now", 0),
    job("fail hard", "talk_and_fail_hard", "the end"),
    job("segfault", "segfault"),
    job("killed", "signal_self", signal.SIGKILL),
    job("after killed", "pid"),
    job("dies with children", "with_children", "die"),
    job("hangs", "sleep", 60, timeout=0.3),
    job("hangs on", "sleep_and_ignore_sigterm", timeout=0.3),
    job("hangs in C", "busy_in_c_with_gil", timeout=0.3),
    job("hangs with children", "with_children", "hang", timeout=1.0),
    job("hangs with a child in a session of its own", "hang_with_a_child_in_a_session_of_its_own", timeout=1.0),
    job("last", "pid"),
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of all of them, on one worker after the other."""
    events = run(*JOBS, log_dir=tmp_path_factory.mktemp("logs"))
    assert [event.key for event in events if isinstance(event, Started)] == [each.key for each in JOBS]
    assert {event.worker for event in events if isinstance(event, Started)} == {0}
    return ends(events)


REASONS = {
    "fail": ("error", "ValueError: two lines"),
    "leave": ("error", "SystemExit: enough"),
    "payload": ("error", "the payload cannot be unpickled: ImportError: made elsewhere"),
    "result there": ("error", "the result cannot be pickled: TypeError: not this one"),
    "result here": ("error", "the result cannot be unpickled: ImportError: made elsewhere"),
    "memory": ("oom", "MemoryError"),
    "all memory": ("oom", "MemoryError"),
    "exit 1": ("error", "the worker exited with code 1"),
    "exit 0": ("error", "the worker exited with code 0"),
    "fail hard": ("error", "the worker exited with code 1"),
    "segfault": ("error", "the worker was killed by signal 11 (SIGSEGV)"),
    "killed": ("error", "the worker was killed by signal 9 (SIGKILL)"),
    "dies with children": ("error", "the worker was killed by signal 9 (SIGKILL)"),
    "hangs": ("timeout", "the job ran longer than its limit of 0.3 s"),
    "hangs on": ("timeout", "the job ran longer than its limit of 0.3 s"),
    "hangs in C": ("timeout", "the job ran longer than its limit of 0.3 s"),
    "hangs with children": ("timeout", "the job ran longer than its limit of 1 s"),
    "hangs with a child in a session of its own": ("timeout", "the job ran longer than its limit of 1 s"),
}


@pytest.mark.slow
def test_each_job_has_its_own_reason_and_the_others_finish(ran: dict[str, Any]) -> None:
    lost = {key: (end.status, end.reason) for key, end in ran.items() if isinstance(end, Lost)}
    assert lost == {key: reason for key, reason in REASONS.items() if key in ran}
    assert set(ran) == {each.key for each in JOBS}


def test_a_failure_keeps_the_worker_and_what_spoils_it_replaces_it(ran: dict[str, Any]) -> None:
    assert ran["first"] == ran["after failures"] != os.getpid()
    assert ran["after memory"] != ran["after failures"]
    assert ran["retire"] != ran["after retire"]
    assert ran["leaves children"][0] == ran["after retire"]
    assert len({ran[key] for key in ("after children", "after killed", "last")}) == 3


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("fail", "in fail"),
        ("memory", "in raise_memory_error"),
        ("segfault", "in segfault"),
        ("hangs", "in sleep"),  # where it was when its time was up
        ("hangs in C", "in busy_in_c_with_gil"),
        ("fail hard", "xxx\nthe end\n"),
    ],
)
def test_a_traceback_or_the_end_of_the_log_is_with_the_loss(key: str, text: str, ran: dict[str, Any]) -> None:
    assert text in ran[key].log_tail


def test_the_log_tail_is_short_and_of_its_job_alone(ran: dict[str, Any]) -> None:
    assert ran["exit 1"].log_tail == ran["exit 0"].log_tail == "last words\n"
    assert len(ran["fail hard"].log_tail) == process.LOG_TAIL


def test_what_was_reported_and_how_long_it_took_is_with_the_loss(ran: dict[str, Any]) -> None:
    assert ran["fail"].progress == {"step": 3}
    assert ran["killed"].progress == {"step": 7}
    assert 0.3 <= ran["hangs"].seconds < 20


def test_no_process_of_a_job_outlives_it(ran: dict[str, Any]) -> None:
    """Also in a session of its own, where ending the worker's process group does not reach it."""
    left = [
        *ran["leaves children"][1:],
        *ran["dies with children"].progress["children"],
        *ran["hangs with children"].progress["children"],
        ran["hangs with a child in a session of its own"].progress["child"],
    ]
    assert len(left) == 7
    assert until(lambda: all(map(gone, left)))


def test_a_kill_that_the_kernel_counted_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one: tests/faults/test_workers.py."""
    counter = itertools.count()
    monkeypatch.setattr(process, "_oom_kills", lambda: next(counter))
    found = ends(run(job("a", "signal_self", signal.SIGKILL), job("b", "signal_self", signal.SIGTERM)))
    assert (found["a"].status, found["b"].status) == ("oom", "error")
    assert found["a"].reason == "the worker ran out of memory: the kernel's OOM killer ended it"


# The ordinary course


def test_two_workers_overlap_and_only_the_one_that_died_is_replaced(tmp_path: Path) -> None:
    """And there are no more workers than jobs."""
    events = run(job("a", "meet", tmp_path, 0), job("b", "meet_and_exit", tmp_path, 1), job("c", "pid"), workers=8)
    found = ends(events)
    assert found["a"] is True
    assert found["b"].reason == "the worker exited with code 1"
    assert isinstance(found["c"], int)
    assert {event.worker for event in events if isinstance(event, Started)} <= {0, 1, 2}


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


def test_every_report_arrives_before_the_end_and_large_results_do(tmp_path: Path) -> None:
    steps, when, data = [], {}, os.urandom(3_000_000)
    for event in LocalExecutor(TARGET).run([job("a", "report_and_sleep", 1000, 1.0), job("b", "big", data)]):
        when[event.key, type(event)] = time.monotonic()
        if isinstance(event, Progress):
            steps.append(event.data["step"])
        elif isinstance(event, Finished) and event.key == "b":
            assert event.result == data + data
    assert steps == list(range(1000))
    assert when["a", Progress] < when["a", Finished] - 0.5
    assert ("b", Finished) in when


def test_a_result_in_time_counts_although_it_is_read_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the start of a worker does not count towards the timeout."""
    (tmp_path / "slow_setup.py").write_text("import time\ndef prepare():\n    time.sleep(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for event in LocalExecutor(TARGET, setup="slow_setup:prepare").run([job("a", "echo", 1, timeout=0.9)]):
        if isinstance(event, Started):
            time.sleep(1.2)
        found.append(event)
    assert ends(found) == {"a": 1}


def test_environment_and_path_reach_the_worker_and_main_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the setup runs before the target is imported."""
    code = "import os\ndef prepare():\n    os.environ['EXECUTOR_TEST_SETUP'] = 'called'\n"
    (tmp_path / "early_setup.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    facts = ends(run(job("a", "facts"), env={"EXECUTOR_TEST_ENV": "there"}, setup="early_setup:prepare"))["a"]
    assert facts == {"setup": True, "env": "there", "argv": 1, "path": sys.path, "torch": False, "main": None}
    assert "EXECUTOR_TEST_ENV" not in os.environ


# Logs


def test_prints_go_to_the_log_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logs = tmp_path / "made" / "logs"
    run(job("a", "talk", "first"), job("b", "talk", "second"), log_dir=logs)
    lines = (logs / "worker-0.log").read_text().splitlines()
    ways = ["by print", "to stderr", "by the file descriptor", "by a child"]
    assert lines == [f"{text} {way}" for text in ("first", "second") for way in ways]
    run(job("c", "talk", "third"))
    assert capfd.readouterr() == ("", "")


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match=r"file/worker-0\.log cannot be written: .*\.$"):
        run(job("a", "echo", 1), log_dir=tmp_path / "file")


# Workers that do not start


@pytest.mark.parametrize(
    ("target", "setup", "reason"),
    [
        ("no_such_module:run", None, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("executor_targets:no_such", None, "has no attribute 'no_such'"),
        (TARGET, "executor_targets:prepare_badly", "LookupError: no such setup"),
        (TARGET, "executor_targets:die_badly", "the worker exited with code 9"),
    ],
)
def test_where_no_worker_can_start_the_run_ends_with_the_reason(
    target: str, setup: str | None, reason: str, tmp_path: Path
) -> None:
    executor = LocalExecutor(target, workers=2, setup=setup, log_dir=tmp_path)
    with pytest.raises(BenchError, match=rf"^A worker process cannot start: .*{reason}\. Its output is in .*log\.$"):
        list(executor.run(job(str(number), "echo", number) for number in range(5)))


def test_a_worker_that_does_not_become_ready_in_time_has_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_LIMIT", 0.01)
    with pytest.raises(BenchError, match=r"^A worker process cannot start: it was not ready after 0\.01 s\.$"):
        run(job("a", "echo", 1))


def test_one_failed_start_costs_no_job(tmp_path: Path) -> None:
    options = {
        "env": {"EXECUTOR_TEST_FLAG": str(tmp_path / "flag")},
        "setup": "executor_targets:fail_first_start",
    }
    assert ends(run(job("a", "echo", 1), **options)) == {"a": 1}
