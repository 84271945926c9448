"""The Ray executor on a cluster of machines that are all this one. What jobs are, see executor_targets.py."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from executor_targets import TARGET, job
from ray_machines import Machines, machines

from bench.errors import BenchError
from bench.executors import Event, Finished, Job, Lost, Progress, Retried, Started

pytest.importorskip("ray", reason="Ray is not installed: pip install 'pasta-bench[ray]'")

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.executors import ray as module
from bench.executors.ray import RayExecutor
from bench.executors.ray.cluster import ClusterError, Share, alive, connected, room_for

SHARE = Share(cpus=1, most=1)
FOLDER = str(Path(__file__).parent)


def executor_of(share: Share = SHARE, setup: str | None = None) -> RayExecutor:
    return RayExecutor(TARGET, share, {"EXECUTOR_TEST_ENV": "set", "PYTHONPATH": FOLDER}, setup)


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


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:9", "There is no Ray cluster at 127.0.0.1:9: "),
        ("127.0.0.1:99999", "There is no Ray cluster at 127.0.0.1:99999: "),
        ("ray://127.0.0.1:10001", "ray://127.0.0.1:10001: give the address of the cluster itself"),
    ],
)
def test_an_address_without_a_cluster_is_one_sentence(address: str, reason: str) -> None:
    with pytest.raises(BenchError, match=re.escape(reason)) as raised, connected(address, {}):
        pass
    assert "\n" not in str(raised.value)


# On a cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Machines]:
    with machines(2) as made, connected(made.address, {}):
        yield made


@pytest.fixture
def executor(cluster: Machines) -> RayExecutor:
    return executor_of()


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
def test_a_job_meets_an_environment_like_a_local_one(executor: RayExecutor) -> None:
    assert room_for(SHARE) == 2
    ended = ends(list(executor.run([job("facts", "facts"), job("omp", "variable", "OMP_NUM_THREADS")])))
    assert isinstance(ended["facts"], Finished)
    facts = ended["facts"].result
    assert (facts["env"], facts["torch"]) == ("set", False)
    assert isinstance(ended["omp"], Finished)
    assert ended["omp"].result is None  # Ray's own setting is gone


@pytest.mark.slow
def test_what_a_job_does_to_its_worker_is_its_loss_and_not_tried_again(executor: RayExecutor) -> None:
    events = list(
        executor.run(
            [
                job("echo", "echo", {"a": 1}),
                job("fail", "fail", "no luck"),
                job("segfault", "segfault"),
                job("killed", "signal_self", 9),
                job("slow", "sleep", 60, timeout=0.5),
                job("in C", "busy_in_c_with_gil", timeout=0.5),
                job("memory", "raise_memory_error"),
                job("retire", "retire"),
                job("result", "unpicklable"),
                job("elsewhere", "not_on_the_other_side"),
                job("after", "echo", "fine"),
            ]
        )
    )
    found = ends(events)
    assert not any(isinstance(event, Retried) for event in events)
    results = {key: event.result for key, event in found.items() if isinstance(event, Finished)}
    assert isinstance(results.pop("retire"), int)
    assert results == {"echo": {"a": 1}, "after": "fine"}
    died = "the worker process died: it crashed, exited or was killed; Ray's logs may say more"
    assert {key: (event.status, event.reason) for key, event in found.items() if isinstance(event, Lost)} == {
        "fail": ("error", "ValueError: no luck"),
        "segfault": ("error", died),
        "killed": ("error", died),
        "slow": ("timeout", "the job ran longer than its limit of 0.5 s"),
        "in C": ("timeout", "the job ran longer than its limit of 0.5 s"),
        "memory": ("oom", "MemoryError"),
        "result": ("error", "the result cannot be pickled: TypeError: not this one"),
        "elsewhere": ("error", "the result cannot be unpickled: ImportError: made elsewhere"),
    }
    assert "in fail" in found["fail"].log_tail  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_machine_that_others_use_keeps_no_job_waiting(executor: RayExecutor) -> None:
    machine = next(name for name, resources in alive().items() if SHARE.room(resources))
    there = NodeAffinitySchedulingStrategy(machine, soft=False)
    other = ray.remote(module.ProgressBoard).options(num_cpus=1, scheduling_strategy=there).remote()
    ray.get(other.__ray_ready__.remote())
    found = ends(list(executor.run([job(key, "echo", key) for key in "abc"])))
    assert sorted(event.result for event in found.values() if isinstance(event, Finished)) == ["a", "b", "c"]
    ray.kill(other)


@pytest.mark.slow
def test_no_more_jobs_are_drawn_than_there_is_room_for(executor: RayExecutor) -> None:
    drawn = 0
    ended = 0

    def jobs() -> Iterator[Job]:
        nonlocal drawn
        for number in range(500):
            drawn += 1
            assert drawn - ended <= 3  # two that run, and this one
            yield job(str(number), "echo", number)

    results = []
    for event in executor.run(jobs()):
        if isinstance(event, Finished):
            ended += 1
            results.append(event.result)
    assert sorted(results) == list(range(500))


@pytest.mark.slow
def test_a_job_that_is_lost_with_every_machine_is_given_up(
    cluster: Machines, executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRIES", 1)
    events = []
    with closing(executor.run([job("a", "with_children", "sleep"), job("b", "echo", 1)])) as running:
        for event in running:
            events.append(event)
            if isinstance(event, Started) and event.key == "a":
                began = True
            if isinstance(event, Progress) and began:
                began = False
                cluster.lose_that_of(event.data["children"][0])
                cluster.add()
    assert [type(event) for event in events if event.key == "a" and not isinstance(event, Progress)] == [
        Started, Retried, Started, Lost,
    ]  # fmt: skip
    lost = ends(events)["a"]
    assert isinstance(lost, Lost)
    assert lost.status == "error"
    assert lost.reason.startswith("lost with its machine after")
    assert lost.reason.endswith(" s, in attempt 2 of 2")
    assert isinstance(ends(events)["b"], Finished)


@pytest.mark.slow
def test_where_no_worker_can_start_the_run_ends_with_the_reason(cluster: Machines) -> None:
    with pytest.raises(ClusterError, match=r"^There is no machine to run cells on: .*LookupError: no such setup\.$"):
        list(
            executor_of(setup="executor_targets:prepare_badly").run([job(str(number), "echo", 1) for number in "abcd"])
        )


@pytest.mark.slow
def test_a_share_that_no_machine_has_is_one_sentence(cluster: Machines) -> None:
    with pytest.raises(ClusterError, match=r"has room for a worker, which takes 512 CPUs, 0 GPUs and 1,024 MiB; "):
        room_for(Share(cpus=512, memory=1 << 30))


@pytest.mark.slow
def test_where_all_machines_are_lost_the_run_ends_after_a_while(
    cluster: Machines, executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test of this file: it leaves no machine."""
    monkeypatch.setattr(module, "MACHINES_LIMIT", 2.0)
    retried = []

    def run() -> None:
        jobs = [job("a", "with_children", "sleep"), *(job(key, "echo", 1) for key in "bcd")]
        with closing(executor.run(jobs)) as running:
            for event in running:
                if isinstance(event, Retried):
                    retried.append(event.key)
                elif isinstance(event, Progress):
                    time.sleep(2.5)  # longer than the limit, which counts from the loss
                    cluster.lose_all()

    with pytest.raises(ClusterError, match=r"^There is no machine to run cells on: none that is left has room\.$"):
        run()
    assert "a" in retried
