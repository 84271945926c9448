"""`verify`: what it says of cells that were run again."""

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
from bench.runner import backend


@dataclass
class Returning:
    """An executor that returns each cell's own record with changes, by id; None: the cell is lost."""

    changes: dict[str, dict[str, Any] | None]
    records: list[Record]

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        known = {record.id: record for record in self.records}
        for job in jobs:
            changed = self.changes.get(job.key, {})
            if changed is None:
                yield Lost(job.key, "error", "the worker was killed by signal 9 (SIGKILL)", None, 1.0, "")
            else:
                yield Finished(job.key, known[job.key].model_copy(update=changed))


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Six finished cells: one is lost when it is run again, one gets another score, one is of other code."""
    made = [record("head", seed, losses=[0.3, 0.2, 0.1], predictions=[1, 0]) for seed in range(6)]
    then = {"python": "3.11", "versions": {"torch": "2", "peft": None}, "settings": {}}
    now = {"python": "3.12", "versions": {"torch": "2", "peft": "1", "rich": "15"}, "compute": {"threads": 2}}
    made[2] = made[2].model_copy(update={"environment": then})
    new = {"scores": {"matthews": 0.75}, "environment": {**now, "settings": {"OMP_NUM_THREADS": "1"}}}
    changes: dict[str, dict[str, Any] | None] = {made[1].id: None, made[2].id: new}
    for each in made:
        Store(tmp_path).write(each)
    real = verify._assignment
    monkeypatch.setattr(verify, "_assignment", lambda old, *more: real(old, *more) if old.id == made[3].id else None)
    monkeypatch.setattr(backend, "local_executor", lambda *arguments: Returning(changes, made))
    return made


def test_only_a_finished_cell_of_the_same_code_is_verified(bench: Bench, tmp_path: Path) -> None:
    then = {"versions": {"torch": "1.0"}, "code": {"commit": "abc", "dirty": True}, "python": "2.7"}
    for made, reasons in (
        (failed("b", 1), ["ended as oom; only a finished cell can be verified"]),
        (record("head", 5, environment={"versions": "x", "code": 3}), ["Check out commit None"]),
        (
            record("head", 6, environment=then),
            ["The cell was run by code version 0123456789abcdef, and this is ", "python is 2.7 in the record and 3.",
             "versions.torch is 1.0 in the record and ", "code.commit is abc in the record and ",
             "the record's checkout has uncommitted changes", "Check out commit abc and install"],
        ),
    ):  # fmt: skip
        Store(tmp_path).write(made)
        done = bench("verify", made.id, "--results", tmp_path)
        assert done.code == 2
        assert [reason for reason in reasons if reason not in done.err] == []


def test_one_cell(bench: Bench, tmp_path: Path, several: list[Record]) -> None:
    same, other = several[0].id, several[2].id
    done = bench("verify", same, "--results", tmp_path, "--json")
    assert done.code == 0
    assert json.loads(done.out) == {"cell": same, "same": True, "differences": [], "surroundings": []}
    assert "the same bit for bit: 3 losses, 2 predictions" in bench("verify", same, "--results", tmp_path).out
    done = bench("verify", other, "--results", tmp_path)
    assert done.code == 1
    assert "not the same: the score was 0.5 and is 0.75." in done.out


def test_several_cells(bench: Bench, tmp_path: Path, several: list[Record]) -> None:
    ids = [each.id for each in several]
    done = bench("verify", *ids, "--results", tmp_path, "--json")
    assert done.code == 1
    found = {each["cell"]: each for each in json.loads(done.out)}
    assert [found[each]["same"] for each in ids] == [True, False, False, None, True, True]
    assert found[ids[1]]["differences"] == ["it did not finish this time: the worker was killed by signal 9 (SIGKILL)"]
    assert found[ids[2]]["differences"] == ["the score was 0.5 and is 0.75"]
    assert found[ids[2]]["surroundings"] == [
        "python is 3.11 in the record and 3.12 now",
        "versions.peft is missing in the record and 1 now",
        "settings.OMP_NUM_THREADS is missing in the record and 1 now",
    ]
    assert found[ids[3]]["refusal"].startswith("The cell was run by code version 0123456789abcdef, and this is ")
    text = bench("verify", *ids, "--results", tmp_path).out
    assert "3 of 6 cells are the same bit for bit." in text
    assert re.search(rf"{ids[3]} \(head on sms-spam, seed 3\): not run: The cell was run by code version", text)
    # A refusal alone is neither a difference nor a success.
    assert bench("verify", ids[0], ids[3], "--results", tmp_path).code == 2
    assert bench("verify", ids[0], ids[4], "--results", tmp_path).code == 0


def test_random_cells_follow_from_the_seed(bench: Bench, tmp_path: Path, several: list[Record]) -> None:
    def chosen(count: int, seed: int) -> set[str]:
        return {each.id for each in verify.sample(several, count, seed)}

    assert chosen(3, 5) < chosen(4, 5) < chosen(99, 5) == {each.id for each in several}
    assert len({frozenset(chosen(1, seed)) for seed in range(20)}) > 1
    done = bench("verify", "--random", 2, "--seed", 7, "--results", tmp_path, "--json")
    assert {each["cell"] for each in json.loads(done.out)} == chosen(2, 7)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Give cell ids ("),
        (["ab", "--random", 1], "Give cell ids ("),
        (["--random", 1], "There is no finished cell in "),
    ],
)
def test_cells_must_be_chosen(arguments: list[object], reason: str, bench: Bench, tmp_path: Path) -> None:
    done = bench("verify", *arguments, "--results", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


OLD = record(losses=[0.3, 0.2, 0.1], predictions=[1, 0])
HARDER = ExtraTest(scores={"matthews": 0.25}, predictions=[0, 1, 1], references=[1, 1, 1])
OTHER_HARDER = HARDER.model_copy(update={"scores": {"matthews": 0.5}, "predictions": [1, 0, 1]})
READ, READ_OTHERWISE = (Data(examples={}, label_counts={}, digest=digest) for digest in ("sha256:a", "sha256:b"))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, []),
        ({}, {"losses": [0.3, 0.2, 0.1 + 1e-18]}, []),  # that is 0.1
        (
            {},
            {"losses": [0.3, 0.2, 0.1 + 1e-16], "predictions": [0, 0], "scores": {"matthews": 0.1}},
            ["the loss differs from step 3 on", "1 of 2 predictions differ", "the score was 0.5 and is 0.1"],
        ),
        ({}, {"losses": [0.3]}, ["the number of steps differs"]),
        ({}, {"status": "oom", "reason": "no memory"}, ["it ended as oom: no memory"]),
        ({"extra_tests": {"harder": HARDER}}, {"extra_tests": {"harder": HARDER}}, []),
        (
            {"extra_tests": {"harder": HARDER}},
            {"extra_tests": {"harder": OTHER_HARDER}},
            ["2 of 3 predictions on harder differ", "the score on harder was 0.25 and is 0.5"],
        ),
        (
            {"extra_tests": {"harder": HARDER}},
            {},
            ["3 of 3 predictions on harder differ", "the score on harder was 0.25 and is None"],
        ),
        ({"data": READ}, {"data": READ_OTHERWISE}, ["the data was sha256:a and is sha256:b"]),
    ],
)
def test_what_differs_is_said(before: dict[str, Any], after: dict[str, Any], expected: list[str]) -> None:
    old, new = OLD.model_copy(update=before), OLD.model_copy(update=after)
    assert verify.differences(old, new) == expected
