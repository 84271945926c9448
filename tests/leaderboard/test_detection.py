"""`plan --detect`: which earlier results are used, and what is said where there are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Bench
from made import record

from bench.grid.suites import Budget
from bench.records.record import Record
from bench.records.store import Store


def grid(task: str, examples: int, limit: int | None = None, preset: str = "quick") -> list[Record]:
    """Three methods at three seeds, right on about 80 % of the examples."""
    draw = np.random.default_rng(0)
    truth = [at % 2 for at in range(examples)]
    of: dict[str, Any] = {"task": task, "preset": preset, "budget": Budget(test_examples=limit)}
    made = []
    for method in ("pasta", "lora", "head"):
        for seed in range(3):
            answers = [label if draw.random() < 0.8 else 1 - label for label in truth]
            score = float(np.mean(np.equal(answers, truth)))
            made.append(record(method, seed, of=of, metric="accuracy", scores={"accuracy": score},
                               predictions=answers, references=truth))  # fmt: skip
    return made


@pytest.fixture
def planned(bench: Bench, tmp_path: Path) -> Any:
    """The lines of `plan --detect` for earlier results, by task."""

    def call(records: list[Record], *options: str) -> dict[str, dict[str, Any]]:
        for each in records:
            Store(tmp_path).write(each)
        done = bench("plan", "--detect", "0.03", "--results", str(tmp_path), "--json", *options)
        assert done.code == 0, done.err
        return {line["task"]: line for line in json.loads(done.out)}

    return call


def test_each_task_has_a_line_with_what_it_takes(planned: Any) -> None:
    found = planned(grid("trec", 400, limit=200), "--methods", "pasta,lora,head", "--tasks", "trec,rt-intensity")
    line = found["trec"]
    assert (line["metric"], line["n_methods"], line["n_seeds"]) == ("accuracy", 3, 3)
    assert (line["measured_pairs"], line["measured_seeds"], line["measured_examples"]) == (3, 3, 400)
    assert line["n_examples"] == 200  # of the suite quick
    assert line["detectable"] > 0.03 < line["examples_needed"]
    more, fewer = (planned([], "--tasks", "trec", "--methods", methods)["trec"] for methods in ("pasta,lora,head,full",
                                                                                             "pasta,lora"))  # fmt: skip
    assert more["detectable"] > line["detectable"] > fewer["detectable"]
    assert found["rt-intensity"]["metric"] is found["rt-intensity"]["detectable"] is None


def test_the_suites_own_results_go_before_others_and_a_small_test_split_is_known(planned: Any) -> None:
    records = [*grid("trec", 60, limit=2000, preset="quick"), *grid("trec", 400, preset="standard")]
    line = planned(records, "--tasks", "trec")["trec"]
    assert (line["measured_preset"], line["measured_examples"], line["n_examples"]) == ("quick", 60, 60)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--detect", "0"], "--detect 0: give a difference of scores above 0"),
        (["--detect", "0.02", "--methods", "pasta"], "give at least two (--methods pasta,lora)"),
        (["--detect", "0.02"], "run a small grid first, or name another folder with --results"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(bench: Bench, tmp_path: Path, options: list[str], said: str) -> None:
    done = bench("plan", *options, "--results", str(tmp_path))
    assert done.code == 2
    assert said in " ".join(done.err.split())
