"""What `verify` says of cells that were computed once more."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commandline import Bench
from made import failed, record

from bench import verify
from bench.executors import Event, Finished, Job, Lost
from bench.records.record import Data, ExtraTest, Record
from bench.records.store import Store
from bench.runner import run


@dataclass
class Returning:
    """An executor under which every cell gives its own record, changed as `changes` says by its id; or is lost."""

    changes: dict[str, dict[str, Any] | None]
    records: list[Record]

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        known = {record.id: record for record in self.records}
        for job in jobs:
            changed = self.changes.get(job.key, {})
            if changed is None:
                yield Lost(job.key, "error", "the worker was killed by signal 9 (SIGKILL)", None, 1.0, "")
            else:
                yield Finished(job.key, known[job.key].model_copy(update=changed).model_dump(mode="json"))


def test_only_a_finished_cell_of_the_same_code_is_verified(bench: Bench, results: Path) -> None:
    done = bench("verify", failed("b", 1).id, "--results", results)
    assert done.code == 2
    assert "ended as oom; only a finished cell can be verified" in done.err
    Store(results).write(record("head", 5, environment={"versions": "x", "code": 3, "python": "2.7"}))
    done = bench("verify", record("head", 5).id, "--results", results)
    assert "Python was 2.7 and is 3." in done.err
    assert done.code == 2
    assert "The cell was run by code version 0123456789abcdef, this is " in done.err


@pytest.mark.parametrize("step", [None, 3])
def test_verify_says_whether_a_cell_came_out_the_same(
    step: int | None, bench: Bench, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = record("head", 5, losses=[0.3, 0.2, 0.1], predictions=[1, 0])
    losses = [loss + (1e-16 if at == step else 0) for at, loss in enumerate(old.losses, start=1)]
    Store(results).write(old)
    monkeypatch.setattr(verify, "_assignment", lambda *arguments: None)
    monkeypatch.setattr(run, "local_executor", lambda *arguments: Returning({old.id: {"losses": losses}}, [old]))
    faults = [] if step is None else ["the loss differs from step 3 on"]
    done = bench("verify", old.id, "--results", results, "--json")
    assert done.code == (0 if step is None else 1)
    assert json.loads(done.out) == {"cell": old.id, "same": not faults, "differences": faults, "surroundings": []}
    text = bench("verify", old.id, "--results", results).out
    assert ("the same bit for bit: 3 losses, 2 predictions" if step is None else faults[0]) in text


@pytest.fixture
def several(results: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Six finished cells: one is lost when it is run again, one gives another score, one is of other code."""
    for made in Store(results).all()[0]:
        (results / "records" / f"{made.id}.json").unlink()
    made = [record("head", seed, losses=[0.5]) for seed in range(6)]
    for each in made:
        Store(results).write(each)
    changes: dict[str, dict[str, Any] | None] = {made[1].id: None, made[2].id: {"scores": {"matthews": 0.75}}}
    real = verify._assignment
    monkeypatch.setattr(verify, "_assignment", lambda old, *more: real(old, *more) if old.id == made[3].id else None)
    monkeypatch.setattr(run, "local_executor", lambda *arguments: Returning(changes, made))
    return made


def test_several_cells_are_verified_at_once(bench: Bench, results: Path, several: list[Record]) -> None:
    ids = [each.id for each in several]
    done = bench("verify", *ids, "--results", results, "--json")
    assert done.code == 1
    found = {each["cell"]: each for each in json.loads(done.out)}
    assert list(found) == ids
    assert [each["same"] for each in found.values()] == [True, False, False, None, True, True]
    assert found[ids[1]]["differences"] == ["it did not finish this time: the worker was killed by signal 9 (SIGKILL)"]
    assert found[ids[2]]["differences"] == ["the score was 0.5 and is 0.75"]
    assert found[ids[3]]["refusal"].startswith("The cell was run by code version 0123456789abcdef, this is ")
    text = bench("verify", *ids, "--results", results)
    assert text.code == 1
    assert "3 of 6 cells came out the same bit for bit." in text.out
    assert re.search(rf"{ids[3]}  head on sms-spam +3 +not run +The cell was run by code version", text.out)


def test_a_refusal_alone_is_no_difference_and_no_success(bench: Bench, results: Path, several: list[Record]) -> None:
    assert bench("verify", several[0].id, several[3].id, "--results", results).code == 2
    assert bench("verify", several[0].id, several[4].id, "--results", results).code == 0


def test_cells_are_drawn_by_a_seed(bench: Bench, results: Path, several: list[Record]) -> None:
    def drawn(count: int, seed: int) -> list[str]:
        done = bench("verify", "--random", count, "--seed", seed, "--results", results, "--json")
        return [each["cell"] for each in json.loads(done.out)]

    ids = {each.id for each in several}
    assert set(drawn(3, 5)) < set(drawn(4, 5)) < set(drawn(99, 5)) == ids
    assert {frozenset(drawn(1, seed)) for seed in range(20)} > {frozenset(drawn(1, 0))}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [([], "Give cell ids"), (["ab", "--random", 1], "Give cell ids"),
     (["--random", 1], "There is no finished cell in ")],
)  # fmt: skip
def test_which_cells_must_be_said(arguments: list[object], reason: str, bench: Bench, tmp_path: Path) -> None:
    done = bench("verify", *arguments, "--results", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


def test_what_differs_is_said() -> None:
    surroundings = {"python": "3.11", "versions": {"torch": "2", "peft": None}, "settings": {}}
    old = record(losses=[0.3, 0.2, 0.1], predictions=[1, 0], environment=surroundings)
    assert verify.differences(old, old) == []
    new = old.model_copy(update={"losses": [0.3, 0.2, 0.1 + 1e-18], "predictions": [1, 0]})
    assert verify.differences(old, new) == []  # that is 0.1
    new = old.model_copy(update={"losses": [0.3, 0.2, 0.1 + 1e-16], "predictions": [0, 0], "scores": {"matthews": 0.1}})
    assert verify.differences(old, new) == [
        "the loss differs from step 3 on",
        "1 of 2 predictions differ",
        "the score was 0.5 and is 0.1",
    ]
    assert verify.differences(old, old.model_copy(update={"losses": [0.3]})) == ["the number of steps differs"]
    assert verify.differences(old, failed()) == ["it ended as oom: a case of oom"]
    extra = {"harder": ExtraTest(scores={"matthews": 0.25}, predictions=[0, 1, 1], references=[1, 1, 1])}
    there = old.model_copy(update={"extra_tests": extra})
    other_answers = {
        "harder": extra["harder"].model_copy(update={"scores": {"matthews": 0.5}, "predictions": [1, 0, 1]})
    }
    assert verify.differences(there, there) == []
    assert verify.differences(there, there.model_copy(update={"extra_tests": other_answers})) == [
        "2 of 3 predictions on harder differ",
        "the score on harder was 0.25 and is 0.5",
    ]
    assert verify.differences(there, old) == [
        "3 of 3 predictions on harder differ",
        "the score on harder was 0.25 and is None",
    ]
    read = [
        old.model_copy(update={"data": Data(examples={}, label_counts={}, digest=d)}) for d in ("sha256:a", "sha256:b")
    ]
    assert verify.differences(*read) == ["the data read was sha256:a and is sha256:b"]
    newer = {"python": "3.12", "versions": {"torch": "2", "peft": "1", "rich": "15"}, "compute": {"threads": 2}}
    other = old.model_copy(update={"environment": {**newer, "settings": {"OMP_NUM_THREADS": "1"}}})
    assert verify.excuses(old, other) == [
        "versions.peft was None and is '1'",
        "python was '3.11' and is '3.12'",
        "settings.OMP_NUM_THREADS was None and is '1'",
    ]
    assert verify.excuses(old, old) == []
