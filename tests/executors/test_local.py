"""The local executor, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.errors import BenchError, UsageError
from bench.executors import Event, Finished, Job, Lost, Progress, Started, local
from bench.executors.local import LocalExecutor, oom_kills

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TARGET = "executor_targets:run"


@pytest.fixture(autouse=True)
def _targets_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No test may leave a process, a zombie or an open file behind."""
    me = psutil.Process()
    files = me.num_fds()
    yield
    assert me.children(recursive=True) == []
    assert me.num_fds() == files


def job(key: str, *payload: Any, timeout: float | None = None) -> Job:
    return Job(key, payload, timeout)


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


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def gone(pid: int) -> bool:
    """Whether the process has ended; an orphan's zombie waits for init and counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


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


def test_no_jobs() -> None:
    assert run() == []


def test_nothing_starts_before_the_first_event_is_asked_for() -> None:
    LocalExecutor(TARGET).run(iter([job("a", "pid")]))
    assert psutil.Process().children() == []


def test_workers_overlap(tmp_path: Path) -> None:
    events = run(job("a", "meet", tmp_path, 0), job("b", "meet", tmp_path, 1), workers=2)
    assert ends(events) == {"a": True, "b": True}
    assert {event.worker for event in events if isinstance(event, Started)} == {0, 1}


def test_there_are_no_more_workers_than_jobs() -> None:
    most = 0
    for _ in LocalExecutor(TARGET, workers=8).run([job("a", "pid"), job("b", "pid")]):
        most = max(most, len(psutil.Process().children()))
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


def test_progress_arrives_before_the_end_and_the_newest_always_does() -> None:
    steps, when = [], {}
    for event in LocalExecutor(TARGET).run([job("a", "report_and_sleep", 1000, 2.0)]):
        when[type(event)] = time.monotonic()
        if isinstance(event, Progress):
            steps.append(event.data["step"])
    assert steps[0] == 0
    assert steps[-1] == 999
    assert len(steps) < 100
    assert when[Progress] < when[Finished] - 0.5


def test_the_last_report_is_not_lost_with_a_quick_end() -> None:
    events = run(job("a", "report_and_sleep", 5, 0))
    assert [event.data["step"] for event in events if isinstance(event, Progress)][-1] == 4


def test_a_job_cannot_report_after_its_end() -> None:
    events = run(job("a", "report_from_a_thread_left_behind"), job("b", "sleep", 0.5))
    assert {event.key for event in events if isinstance(event, Progress)} <= {"a"}


def test_payloads_and_results_may_be_large() -> None:
    data = os.urandom(3_000_000)
    assert ends(run(job("a", "big", data)))["a"] == data + data


def test_environment_and_path_reach_the_worker_and_main_does_not() -> None:
    facts = ends(run(job("a", "facts"), env={"EXECUTOR_TEST_ENV": "there"}))["a"]
    assert not facts["setup"]
    assert facts["env"] == "there"
    assert "EXECUTOR_TEST_ENV" not in os.environ
    assert facts["argv"] == 1
    assert facts["path"] == sys.path
    assert not facts["torch"]
    assert facts["main"] != getattr(sys.modules["__main__"], "__file__", None)  # which a test runner's helper has not


def test_setup_runs_before_the_target_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "early_setup.py").write_text(
        "import os\ndef prepare():\n    os.environ['EXECUTOR_TEST_SETUP'] = 'called'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ends(run(job("a", "facts"), setup="early_setup:prepare"))["a"]["setup"]


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
    from executor_targets import NotOnTheOtherSide, Unpicklable

    found = ends(
        run(
            job("a", "pid"),
            job("payload", "echo", Unpicklable()),
            job("lambda", "echo", lambda: None),
            job("payload there", "echo", NotOnTheOtherSide()),
            job("result", "unpicklable"),
            job("progress", "report_unpicklable"),
            job("b", "pid"),
            job("result here", "not_on_the_other_side"),
            job("c", "pid"),
        )
    )
    assert found["payload"].reason == "the payload cannot be pickled: TypeError: not this one"
    assert found["lambda"].reason.startswith("the payload cannot be pickled: ")
    assert found["payload there"].reason == "the payload cannot be unpickled: ImportError: made elsewhere"
    assert found["result"].reason == "the result cannot be pickled: TypeError: not this one"
    assert found["progress"].reason == "TypeError: not this one"
    assert found["result here"].reason == "what the job sent cannot be unpickled: ImportError: made elsewhere"
    assert all(lost.status == "error" for lost in found.values() if isinstance(lost, Lost))
    assert found["a"] == found["b"]
    assert isinstance(found["c"], int)


# Workers that die


def test_a_killed_worker_is_named_and_replaced() -> None:
    found = ends(run(job("a", "pid"), job("b", "signal_self", signal.SIGKILL), job("c", "pid")))
    lost = found["b"]
    assert (lost.status, lost.progress) == ("error", {"step": 7})
    assert lost.reason == "the worker was killed by signal 9 (SIGKILL)"
    assert found["a"] != found["c"]


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
    monkeypatch.setattr(local, "LOG_LIMIT", 5000)
    log = tmp_path / "worker-0.log"
    found = ends(run(job("a", "talk_and_stay", 10_000), job("b", "talk_and_fail_hard", "last words"), log_dir=tmp_path))
    assert found["b"].log_tail.endswith("last words\n")
    assert len(found["b"].log_tail) == local.LOG_TAIL
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
        (TARGET, "executor_targets:die_badly", "while starting, the worker exited with code 9"),
    ],
)
def test_a_target_that_does_not_start_loses_all_jobs_and_ends(
    target: str, setup: str | None, reason: str, tmp_path: Path
) -> None:
    executor = LocalExecutor(target, workers=2, setup=setup, log_dir=tmp_path)
    found = ends(executor.run(job(str(number), "echo", number) for number in range(5)))
    assert sorted(found) == list("01234")
    assert all(isinstance(lost, Lost) and lost.status == "error" for lost in found.values())
    assert all(reason in lost.reason for lost in found.values())
    assert all(lost.seconds == 0 for lost in found.values())
    assert "die_badly" in str(setup) or any("Traceback" in lost.log_tail for lost in found.values())


def test_one_failed_start_costs_no_job(tmp_path: Path) -> None:
    options = {
        "env": {"EXECUTOR_TEST_FLAG": str(tmp_path / "flag")},
        "setup": "executor_targets:fail_first_start",
    }
    assert ends(run(job("a", "echo", 1), **options)) == {"a": 1}


# The end of the driver


def test_closing_early_ends_all_workers() -> None:
    jobs = [job(str(number), "sleep", 60) for number in range(3)]
    with closing(LocalExecutor(TARGET, workers=2).run(jobs)) as events:
        assert isinstance(next(events), Started)
        assert psutil.Process().children() != []
    assert psutil.Process().children() == []


def test_closing_ends_what_ignores_a_polite_end_too() -> None:
    with closing(LocalExecutor(TARGET).run([job("a", "sleep_and_ignore_sigterm")])) as events:
        next(events)
        time.sleep(0.3)
    assert psutil.Process().children() == []


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Callable[[tuple[Any, ...]], subprocess.Popen[str]]]:
    """Starts a script, without a main guard, that runs two endless jobs and prints its workers' pids."""
    started: list[subprocess.Popen[str]] = []

    def start(job: tuple[Any, ...]) -> subprocess.Popen[str]:
        script = tmp_path / "driver.py"
        script.write_text(
            textwrap.dedent(
                f"""
                import sys
                sys.path[:0] = {[str(ROOT), str(HERE)]!r}
                from contextlib import closing
                import psutil
                from bench.executors import Job, Started
                from bench.executors.local import LocalExecutor

                jobs = [Job("a", {job!r}), Job("b", {job!r})]
                started = 0
                try:
                    with closing(LocalExecutor("executor_targets:run", workers=2).run(jobs)) as events:
                        for event in events:
                            started += isinstance(event, Started)
                            if started == 2:
                                print(*(child.pid for child in psutil.Process().children()), flush=True)
                                started = 0
                except KeyboardInterrupt:
                    print("interrupted, and left:", psutil.Process().children(recursive=True), flush=True)
                    raise
                """
            )
        )
        process = subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def pids_of_workers(driver: subprocess.Popen[str]) -> list[int]:
    assert driver.stdout is not None
    return [int(pid) for pid in driver.stdout.readline().split()]


@pytest.mark.parametrize("payload", ["sleep", "report_and_sleep"])
def test_workers_do_not_outlive_a_killed_driver(
    payload: str, driver: Callable[[tuple[Any, ...]], subprocess.Popen[str]]
) -> None:
    process = driver((payload, 60) if payload == "sleep" else (payload, 10, 60))
    pids = pids_of_workers(process)
    assert len(pids) == 2
    process.kill()
    process.wait()
    assert all(until(lambda pid=pid: gone(pid)) for pid in pids)


def test_an_interrupt_ends_the_workers_and_passes_through(
    driver: Callable[[tuple[Any, ...]], subprocess.Popen[str]],
) -> None:
    process = driver(("sleep", 60))
    pids = pids_of_workers(process)
    assert len(pids) == 2
    time.sleep(0.5)  # it waits for events by now; were it slower, closing() would see to the same
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "interrupted, and left: []\n"
    assert "KeyboardInterrupt" in err
    assert all(gone(pid) for pid in pids)


# How often the kernel's OOM killer has struck


@pytest.mark.parametrize(
    ("cgroup", "file", "text"),
    [
        ("0::/user/me", "sys/fs/cgroup/user/me/memory.events", "oom 9\noom_kill 3\noom_group_kill 0"),
        ("0::/of/the/host", "sys/fs/cgroup/memory.events", "oom_kill 3"),
        (
            "5:cpu:/\n4:memory:/me\n0::/",
            "sys/fs/cgroup/memory/me/memory.oom_control",
            "under_oom 0\noom_kill 3",
        ),
        ("4:memory:/docker/1", "sys/fs/cgroup/memory/memory.oom_control", "oom_kill 3"),
        ("0::/", "proc/vmstat", "nr_free_pages 7\noom_kill 3"),
        (None, "proc/vmstat", "oom_kill 3"),
    ],
)
def test_oom_kills_are_counted(cgroup: str | None, file: str, text: str, tmp_path: Path) -> None:
    contents = {"proc/self/cgroup": cgroup, file: text}
    for name, content in contents.items():
        if content is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content + "\n")
    assert oom_kills(tmp_path) == 3


def test_oom_kills_are_unknown_where_nothing_tells(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) is None
