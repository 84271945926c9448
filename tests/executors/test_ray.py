"""The Ray executor on a cluster of machines that are all this one. What jobs are, see executor_targets.py."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from executor_targets import Unpicklable
from ray_machines import Machines, machines, wait_until

from bench.errors import BenchError, UsageError
from bench.executors import Event, Finished, Job, Lost, Progress, Retried, Started
from bench.executors.ray import ClusterError, RayExecutor, Share, host, scheduling

TARGET = "executor_targets:run"
SHARE = Share(cpus=1, most=1)


def job(key: str, *payload: Any, timeout: float | None = None) -> Job:
    return Job(key, payload, timeout)


# What a machine has room for


@pytest.mark.parametrize(
    ("share", "resources", "room"),
    [
        (Share(2), {"CPU": 9.0}, 4),
        (Share(2, most=3), {"CPU": 9.0}, 3),
        (Share(2, most=5), {"CPU": 9.0}, 0),  # it cannot be what the share was made for
        (Share(2, gpus=1.0), {"CPU": 64.0, "GPU": 8.0}, 8),
        (Share(2, gpus=1.0), {"CPU": 6.0, "GPU": 8.0}, 3),
        (Share(1, gpus=0.3333), {"CPU": 64.0, "GPU": 2.0}, 6),
        (Share(1, gpus=0.5), {"CPU": 64.0}, 0),
        (Share(1, memory=2 << 30), {"CPU": 64.0, "memory": float(7 << 30)}, 3),
        (Share(1), {"CPU": 0.0}, 0),
    ],
)
def test_room(share: Share, resources: dict[str, float], room: int) -> None:
    assert share.room(resources) == room


def test_without_ray_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"^Ray is not installed: pip install 'pasta-bench\[ray\]'\.$"):
        list(RayExecutor(TARGET, SHARE).run([]))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:9", "There is no Ray cluster to be had at 127.0.0.1:9: "),
        ("127.0.0.1:99999", "There is no Ray cluster to be had at 127.0.0.1:99999: "),
        ("ray://127.0.0.1:10001", "ray://127.0.0.1:10001: give the address of the cluster itself"),
    ],
)
def test_an_address_without_a_cluster_is_one_sentence(address: str, reason: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'pasta-bench[ray]'")
    with pytest.raises(BenchError, match=re.escape(reason)) as raised:
        list(RayExecutor(TARGET, SHARE, address=address).run([]))
    assert "\n" not in str(raised.value)


# On a cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Machines]:
    with machines(2) as made:
        yield made


@pytest.fixture(scope="module")
def executor(cluster: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayExecutor]:
    logs = tmp_path_factory.mktemp("logs")
    made = RayExecutor(
        TARGET,
        SHARE,
        address=cluster.address,
        log_dir=logs,
        env={"EXECUTOR_TEST_ENV": "set"},
    )
    with made:
        yield made


def ends(events: list[Event]) -> dict[str, Finished | Lost]:
    """How each job ended, after holding the events to the protocol."""
    started: set[str] = set()
    found: dict[str, Finished | Lost] = {}
    for event in events:
        assert event.key not in found
        if isinstance(event, Started):
            assert event.key not in started
            started.add(event.key)
        elif isinstance(event, Retried):
            started.remove(event.key)
        elif isinstance(event, Progress):
            assert event.key in started
        else:
            found[event.key] = event
    return found


@pytest.mark.slow
def test_a_job_meets_the_same_worker_as_a_local_one(executor: RayExecutor) -> None:
    assert executor.workers == 2
    ended = ends(list(executor.run([job("facts", "facts")])))["facts"]
    assert isinstance(ended, Finished)
    facts = ended.result
    assert (facts["env"], facts["argv"], facts["torch"]) == ("set", 1, False)
    assert Path(facts["main"]).name == "_worker.py"
    # The driver's modules, and nothing of Ray's own.
    own = [path or str(Path.cwd()) for path in sys.path if Path(path or ".").exists()]
    own = [path for path in dict.fromkeys(own) if not path.endswith(host.RAYS_OWN_PATHS)]
    assert facts["path"][: len(own)] == own
    assert not any(path.endswith(host.RAYS_OWN_PATHS) for path in facts["path"])


@pytest.mark.slow
def test_jobs_end_as_local_ones_do_and_none_of_that_is_tried_again(executor: RayExecutor) -> None:
    events = list(
        executor.run(
            [
                job("echo", "echo", {"a": 1}),
                job("fail", "fail", "no luck"),
                job("segfault", "segfault"),
                job("killed", "signal_self", 9),
                job("slow", "sleep", 60, timeout=0.5),
                job("memory", "raise_memory_error"),
                job("retire", "retire"),
                job("talk", "talk_and_fail_hard", "last words"),
                job("result", "unpicklable"),
                job("elsewhere", "not_on_the_other_side"),
                Job("payload", Unpicklable()),
                job("after", "echo", "fine"),
            ]
        )
    )
    found = ends(events)
    assert not any(isinstance(event, Retried) for event in events)
    assert {key: event.result for key, event in found.items() if isinstance(event, Finished) and key != "retire"} == {
        "echo": {"a": 1},
        "after": "fine",
    }
    lost = {key: (event.status, event.reason) for key, event in found.items() if isinstance(event, Lost)}
    assert lost == {
        "fail": ("error", "ValueError: no luck"),
        "segfault": ("error", "the worker was killed by signal 11 (SIGSEGV)"),
        "killed": ("error", "the worker was killed by signal 9 (SIGKILL)"),
        "slow": ("timeout", "the job ran longer than its limit of 0.5 s"),
        "memory": ("oom", "MemoryError"),
        "talk": ("error", "the worker exited with code 1"),
        "result": ("error", "the result cannot be pickled: TypeError: not this one"),
        "elsewhere": ("error", "what the job sent cannot be unpickled: ImportError: made elsewhere"),
        "payload": ("error", "the payload cannot be pickled: TypeError: not this one"),
    }
    assert found["fail"].progress == {"step": 3}  # type: ignore[union-attr]
    assert "in fail" in found["fail"].log_tail  # type: ignore[union-attr]
    assert "last words" in found["talk"].log_tail  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_newest_progress_arrives_and_not_all_of_it(executor: RayExecutor) -> None:
    events = list(executor.run([job("a", "report_and_sleep", 2000, 2.5)]))
    steps = [event.data["step"] for event in events if isinstance(event, Progress)]
    assert steps[-1] == 1999
    assert len(steps) < 10
    assert steps == sorted(steps)


@pytest.mark.slow
def test_no_more_jobs_are_drawn_than_there_is_room_for(executor: RayExecutor) -> None:
    drawn = 0
    ended = 0

    def jobs() -> Iterator[Job]:
        nonlocal drawn
        for number in range(2000):
            drawn += 1
            assert drawn - ended <= 3  # two that run, and this one
            yield job(str(number), "echo", number)

    results = []
    for event in executor.run(jobs()):
        if isinstance(event, Finished):
            ended += 1
            results.append(event.result)
    assert sorted(results) == list(range(2000))


@pytest.mark.slow
def test_a_job_whose_machine_is_lost_is_begun_again_on_another(cluster: Machines, executor: RayExecutor) -> None:
    """Also where a machine joins in the meantime."""
    events = []
    with closing(executor.run([job("a", "with_children", "sleep", timeout=6), job("b", "sleep", 1)])) as running:
        for event in running:
            events.append(event)
            if isinstance(event, Progress) and not any(isinstance(each, Retried) for each in events):
                children = event.data["children"]
                cluster.lose_that_of(children[0])
                cluster.add()
    retried = next(event for event in events if isinstance(event, Retried))
    assert (retried.key, retried.reason.partition(" after ")[0]) == ("a", "lost with its machine")
    found = ends(events)
    assert isinstance(found["b"], Finished)
    assert isinstance(found["a"], Lost)
    assert found["a"].status == "timeout"  # in the second attempt, which had all of its time
    wait_until(lambda: not any(map(psutil.pid_exists, children)), "the end of what the lost job had started", 20)


@pytest.mark.slow
def test_a_job_that_is_lost_with_every_machine_is_given_up(
    executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it ends its host, which is what the loss of a machine looks like, and what a spiteful job can do."""
    monkeypatch.setattr(scheduling, "RETRIES", 1)
    events = list(executor.run([job("a", "end_the_host"), job("b", "echo", 1)]))
    assert [type(event) for event in events if event.key == "a"] == [Started, Retried, Started, Lost]
    lost = ends(events)["a"]
    assert isinstance(lost, Lost)
    assert lost.status == "error"
    assert lost.reason.startswith("lost with its machine after")
    assert lost.reason.endswith(" s, in attempt 2 of 2")
    assert isinstance(ends(events)["b"], Finished)


@pytest.mark.slow
def test_closing_it_ends_all_that_runs(executor: RayExecutor) -> None:
    pids: list[int] = []
    with closing(executor.run([job("a", "with_children", "sleep"), job("b", "with_children", "sleep")])) as running:
        for event in running:
            if isinstance(event, Progress):
                pids += event.data["children"]
            if len(pids) == 4:
                break
    assert all(pids)
    wait_until(lambda: not any(map(psutil.pid_exists, pids)), "the end of all jobs' processes", 20)
    assert isinstance(ends(list(executor.run([job("c", "echo", 1)])))["c"], Finished)


@pytest.mark.slow
def test_where_no_worker_can_start_every_job_is_lost_with_the_reason(cluster: Machines, executor: RayExecutor) -> None:
    broken = RayExecutor(TARGET, SHARE, setup="executor_targets:prepare_badly")
    with broken:  # the connection is the one that is there
        found = ends(list(broken.run([job(str(number), "echo", 1) for number in range(4)])))
    assert len(found) == 4
    assert all(isinstance(event, Lost) and "LookupError: no such setup" in event.reason for event in found.values())


@pytest.mark.slow
def test_each_gpu_has_its_share_of_the_cores(cluster: Machines, executor: RayExecutor) -> None:
    if len(cores := os.sched_getaffinity(0)) < 2:
        pytest.skip("one core cannot be shared")
    (node,) = cluster.add(num_cpus=4, num_gpus=2)
    with RayExecutor(TARGET, Share(cpus=1, gpus=0.5)) as made:
        assert made.workers == 4
        jobs = [job(str(number), "cores_and_gpu") for number in range(4)]
        ended = [event.result for event in ends(list(made.run(jobs))).values() if isinstance(event, Finished)]
    cluster.lose(node)
    assert len(ended) == 4
    by_gpu = dict(ended)
    assert set(by_gpu) <= {"0", "1"}
    assert all(len(found) == len(cores) // 2 for found in by_gpu.values())


@pytest.mark.slow
def test_a_share_that_no_machine_has_is_one_sentence(executor: RayExecutor) -> None:
    with RayExecutor(TARGET, Share(cpus=512, memory=1 << 30)) as made, pytest.raises(ClusterError) as raised:
        print(made.workers)
    assert str(raised.value).startswith(
        "No machine of the Ray cluster has room: a worker takes 512 CPUs, 1,024 MiB, any number on a machine; there is:"
    )


@pytest.mark.slow
def test_where_all_machines_are_lost_the_rest_is_given_up_after_a_while(
    cluster: Machines, executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test of this file: it leaves no machine."""
    monkeypatch.setattr(scheduling, "MACHINES_LIMIT", 2.0)
    events = []
    with closing(
        executor.run([job("a", "with_children", "sleep"), *(job(key, "echo", 1) for key in "bcd")])
    ) as running:
        for event in running:
            events.append(event)
            if isinstance(event, Progress):
                time.sleep(2.5)  # longer than the limit, which counts from the loss
                cluster.lose_all()
    reasons = {key: event.reason for key, event in ends(events).items() if isinstance(event, Lost)}
    assert reasons["a"].startswith("there is no machine to run it on: ")
    # Others may have been at work, too, when their machine was lost; nobody is tried again after that.
    retried = [event.key for event in events if isinstance(event, Retried)]
    assert "a" in retried
    assert len(retried) == len(set(retried))
