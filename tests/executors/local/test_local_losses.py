"""The local executor, with real processes: jobs that fail, and workers that die or do not start."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

import pytest
from local_runs import TARGET, ends, gone, job, run, until

from bench.errors import BenchError
from bench.executors import Lost, Started
from bench.executors.local import LocalExecutor, process

# Jobs that fail


def test_an_exception_is_the_jobs_loss_and_not_the_workers() -> None:
    found = ends(run(job("a", "pid"), job("b", "fail", "two\nlines"), job("c", "leave"), job("d", "pid")))
    lost = found["b"]
    assert (lost.status, lost.reason, lost.progress) == ("error", "ValueError: two lines", {"step": 3})
    assert lost.log_tail.startswith("Traceback")
    assert "in fail" in lost.log_tail
    assert lost.seconds >= 0
    assert found["c"].reason == "SystemExit: enough"
    assert found["a"] == found["d"]


@pytest.mark.parametrize("name", ["raise_memory_error", "exhaust_memory"])
def test_lack_of_memory_replaces_the_worker(name: str) -> None:
    if name == "exhaust_memory" and not Path("/proc/self/statm").exists():
        pytest.skip("limiting the address space needs Linux")
    found = ends(run(job("a", "pid"), job("b", name), job("c", "pid")))
    assert found["b"].status == "oom"
    assert found["b"].reason == "MemoryError"
    assert name in found["b"].log_tail
    assert found["a"] != found["c"]


def test_a_worker_retires_when_its_job_says_so() -> None:
    found = ends(run(job("a", "pid"), job("b", "retire"), job("c", "pid")))
    assert found["a"] == found["b"] != found["c"]


def test_what_cannot_be_pickled_is_lost_and_nothing_else() -> None:
    from executor_targets import NotOnTheOtherSide

    found = ends(
        run(
            job("a", "pid"),
            job("payload there", "echo", NotOnTheOtherSide()),
            job("result", "unpicklable"),
            job("b", "pid"),
            job("result here", "not_on_the_other_side"),
            job("c", "pid"),
        )
    )
    assert found["payload there"].reason == "the payload cannot be unpickled: ImportError: made elsewhere"
    assert found["result"].reason == "the result cannot be pickled: TypeError: not this one"
    assert found["result here"].reason == "the result cannot be unpickled: ImportError: made elsewhere"
    assert all(lost.status == "error" for lost in found.values() if isinstance(lost, Lost))
    assert found["a"] == found["b"] == found["c"]


# Workers that die


def test_a_killed_worker_is_named_and_replaced() -> None:
    found = ends(run(job("a", "pid"), job("b", "signal_self", signal.SIGKILL), job("c", "pid")))
    lost = found["b"]
    assert (lost.status, lost.progress) == ("error", {"step": 7})
    assert lost.reason == "the worker was killed by signal 9 (SIGKILL)"
    assert found["a"] != found["c"]


def test_a_kill_that_the_kernel_counted_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one: tests/faults/test_workers.py."""
    counter = itertools.count()
    monkeypatch.setattr(process, "_oom_kills", lambda: next(counter))
    found = ends(run(job("a", "signal_self", signal.SIGKILL), job("b", "signal_self", signal.SIGTERM)))
    assert (found["a"].status, found["b"].status) == ("oom", "error")
    assert found["a"].reason == "the worker ran out of memory: the kernel's OOM killer ended it"


def test_an_exit_is_named() -> None:
    found = ends(run(job("a", "exit_now", 3), job("b", "exit_now", 0), job("c", "echo", 1)))
    assert found["a"].reason == "the worker exited with code 3"
    assert found["b"].reason == "the worker exited with code 0"
    assert found["c"] == 1


def test_a_crash_leaves_its_stack(tmp_path: Path) -> None:
    lost = ends(run(job("a", "segfault"), log_dir=tmp_path))["a"]
    assert lost.reason == "the worker was killed by signal 11 (SIGSEGV)"
    assert "in segfault" in lost.log_tail


def test_only_the_worker_that_died_is_replaced() -> None:
    found = ends(run(job("a", "sleep", 1.0), job("b", "exit_now", 3), job("c", "echo", 1), workers=2))
    assert found["a"] == "slept"
    assert isinstance(found["b"], Lost)
    assert found["c"] == 1


@pytest.mark.parametrize("name", ["sleep", "sleep_and_ignore_sigterm", "busy_in_c_with_gil"])
def test_a_timeout_ends_the_worker(name: str, tmp_path: Path) -> None:
    arguments = [60] if name == "sleep" else []
    found = ends(run(job("a", "pid"), job("b", name, *arguments, timeout=0.3), job("c", "pid"), log_dir=tmp_path))
    lost = found["b"]
    assert lost.status == "timeout"
    assert lost.reason == "the job ran longer than its limit of 0.3 s"
    assert 0.3 <= lost.seconds < 20
    if name != "sleep_and_ignore_sigterm":
        assert f"in {name}" in lost.log_tail  # where it was when its time was up
    assert found["a"] != found["c"]


def test_the_start_of_a_worker_does_not_count_towards_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_setup.py").write_text("import time\ndef prepare():\n    time.sleep(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ends(run(job("a", "echo", 1, timeout=0.9), setup="slow_setup:prepare"))["a"] == 1


def test_a_result_in_time_counts_although_it_is_read_late() -> None:
    events = LocalExecutor(TARGET).run([job("a", "report_and_sleep", 5, 0, timeout=1.0)])
    found = []
    for event in events:
        if isinstance(event, Started):
            time.sleep(1.2)
        found.append(event)
    assert ends(found) == {"a": "done"}


@pytest.mark.parametrize("ending", ["die", "time out"])
def test_a_workers_children_end_with_it(ending: str) -> None:
    events = run(job("a", "with_children", ending, timeout=1.0), job("b", "echo", 1))
    lost = ends(events)["a"]
    assert lost.status == ("error" if ending == "die" else "timeout")
    assert all(until(lambda pid=pid: gone(pid)) for pid in lost.progress["children"])


def test_what_a_job_leaves_running_ends_before_the_next_job_begins(tmp_path: Path) -> None:
    """Also in a session of its own, where ending the worker's process group does not reach it."""
    events = run(job("a", "leave_children"), job("b", "pid"), job("c", "pid"), log_dir=tmp_path)
    found = ends(events)
    worker, *children = found["a"]
    assert len(children) == 2
    assert all(gone(pid) for pid in children)
    assert found["b"] != worker
    assert found["c"] == found["b"]  # that one left nothing, and goes on


def test_a_child_in_a_session_of_its_own_ends_with_a_worker_that_is_ended() -> None:
    lost = ends(run(job("a", "hang_with_a_child_in_a_session_of_its_own", timeout=1.0)))["a"]
    assert lost.status == "timeout"
    assert until(lambda: gone(lost.progress["child"]))


def test_a_log_that_is_long_when_a_job_begins_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT", 5000)
    log = tmp_path / "worker-0.log"
    found = ends(run(job("a", "talk_and_stay", 10_000), job("b", "talk_and_fail_hard", "last words"), log_dir=tmp_path))
    assert found["b"].log_tail.endswith("last words\n")
    assert len(found["b"].log_tail) == process.LOG_TAIL
    assert log.stat().st_size < 10_000


def test_a_log_that_somebody_removed_costs_its_text_alone(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    found = ends(run(job("a", "remove_and_exit", logs), job("b", "echo", 1), log_dir=logs))
    assert (found["a"].reason, found["a"].log_tail) == ("the worker exited with code 4", "")
    assert found["b"] == 1


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


def test_one_failed_start_costs_no_job(tmp_path: Path) -> None:
    options = {
        "env": {"EXECUTOR_TEST_FLAG": str(tmp_path / "flag")},
        "setup": "executor_targets:fail_first_start",
    }
    assert ends(run(job("a", "echo", 1), **options)) == {"a": 1}
