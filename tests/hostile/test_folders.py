"""Results folders from others: links, devices, bombs, and names that would act on a terminal or in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from commandline import Bench
from made import measured, memory, record
from scoring import shares

from bench.errors import StoreError
from bench.executors import Job
from bench.executors.local import LocalExecutor
from bench.leaderboard.files import texts
from bench.leaderboard.ranking import sample
from bench.leaderboard.tables import Tables
from bench.records import store
from bench.records.machines import machine_kind
from bench.records.record import Data, Record
from bench.records.store import Store
from bench.stats.per_example import MOST_RANKED

TEXT = record().to_json()


def other(**changes: Any) -> str:
    return json.dumps({**json.loads(TEXT), **changes})


BOMBS = {
    "nesting": '{"a":' * 100_000,
    "nesting within": other(environment={}).replace('"environment": {}', f'"environment": {"[" * 9000}{"]" * 9000}'),
    "NaN": other(losses=[float("nan")]),
    "Infinity": other(scores={"matthews": float("inf")}),
    "a float that is infinite": other(losses=[1.5]).replace("1.5", "1e999"),
    "a score whose mean would be infinite": other(scores={"matthews": 1e308}),
    "a number of 5000 digits": other(last_step=77).replace("77", "7" * 5000),
    "a count that is no 64-bit number": other(adapter_bytes=10**400),
    "a negative count": other(adapter_bytes=-1),
    "a half character": other(reason="x").replace('"x"', '"\\ud800"'),
    "an id that is a path": other(id="../../x"),
    "an id of several lines": other(id="0123456789abcdef\n0123456789abcdef"),
    "a parameter that is no number": other().replace('"params": {}', '"params": {"r": 1e999}'),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_reported_and_is_no_record(bomb: str, tmp_path: Path) -> None:
    assert BOMBS[bomb] != other()
    results = Store(tmp_path)
    results.write(record(seed=1))
    results.path(record().id).write_text(BOMBS[bomb])
    assert [found.cell.seed for found in results.all()[0]] == [1]
    assert len(results.all()[1]) == 1
    assert results.finished(record().id) is None


def test_a_record_over_the_size_limit_is_not_read(tmp_path: Path) -> None:
    results = Store(tmp_path)
    results.write(record())
    with results.path(record().id).open("r+b") as file:
        file.truncate(store.MAX_BYTES + 1)  # a hole: takes no disk
    with pytest.raises(StoreError, match="larger than 64 MiB"):
        results.read(record().id)


def test_too_many_predictions_for_ranks_are_compared_by_seeds_alone() -> None:
    many = [float(at) for at in range(MOST_RANKED + 1)]
    assert shares("spearman", many, many, None) is None
    assert shares("spearman", many[:50], many[:50], None) is not None


def test_a_record_is_a_plain_file_and_no_link_or_pipe(tmp_path: Path) -> None:
    results = Store(tmp_path / "results")
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").mkdir()
    results.records.symlink_to(tmp_path / "disk")  # the folder of the records may be a link
    results.write(record())
    assert results.all() == ([record()], [])
    path = tmp_path / "disk" / f"{record().id}.json"
    elsewhere = path.rename(tmp_path / "elsewhere.json")
    os.mkfifo(path)  # reading it would never end
    for target in (elsewhere, Path("/dev/zero")):
        with pytest.raises(StoreError, match="not a plain file"):
            results.read(record().id)
        path.unlink()
        path.symlink_to(target)
    assert "not a plain file" in results.all()[1][0]


def test_writing_replaces_a_link_and_leaves_its_target(tmp_path: Path) -> None:
    results, mine = Store(tmp_path / "results"), tmp_path / "mine"
    mine.write_text("precious")
    results.records.mkdir(parents=True)
    results.path(record().id).symlink_to(mine)
    results.write(record())
    assert results.read(record().id) == record()
    assert mine.read_text() == "precious"


def test_a_workers_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    mine, logs = tmp_path / "mine", tmp_path / "logs"
    mine.write_text("precious")
    logs.mkdir()
    (logs / "worker-0.log").symlink_to(mine)
    executor = LocalExecutor("operator:is_", 1, logs)
    list(executor.run([Job("a", 1)]))
    assert mine.read_text() == "precious"
    assert not (logs / "worker-0.log").is_symlink()


@pytest.mark.parametrize(
    "machine",
    [{"gpus": "x"}, {"gpus": [1]}, {"cpu_model": [1]}, {"cpu_cores_allowed": "many"}, {"gpus": {"a": 1}}, [], "x", 1],
)  # fmt: skip
def test_an_environment_of_any_form_is_no_error(machine: Any) -> None:
    made = record(environment={"machine": machine, "code": "x", "versions": 3})
    machine_kind(made)
    assert "head" in texts(Tables([made]))["cells.csv"]


def answered(metric: str, predictions: Any, references: Any, labels: Any) -> Record:
    data = Data(examples={}, labels=labels, label_counts={}, digest="")
    return record(metric=metric, scores={metric: 0.5}, predictions=predictions, references=references, data=data)


PREDICTIONS: list[tuple[str, Any, Any, Any]] = [
    ("accuracy", ["a", {}], [1, None], None),
    ("accuracy", [True, False], [0, 1], None),
    ("f1", [10**30, 1], [0, 1], None),
    ("matthews", list(range(5000)), list(range(5000)), None),
    ("spearman", [1e300, 2.0], [0.5, 1.0], None),
    ("pearson_spearman_mean", [None, 2.0], [0.5, 1.0], None),
    ("entity_f1", [[7], [0]], [[0], [0]], ["O"]),
    ("entity_f1", [["x"], [0]], [[0], [0]], ["O"]),
    ("entity_f1", [0, 1], [0, 1], ["O"]),
    ("entity_f1", [[0], [0]], [[0], [0]], [""]),
    ("f1_micro", [[3], [0]], [[0], [0]], ["a", "b"]),
    ("f1_micro", [[-2], [0]], [[0], [0]], ["a", "b"]),
    ("f1_macro", [[0], 1], [[0], [1]], ["a", "b"]),
    ("f1_weighted", [[0], [1]], [0, 1], ["a", "b"]),
    ("subset_accuracy", [[0], [1]], [[0], ["a"]], ["a", "b"]),
    ("token_f1_macro", [[0], [7]], [[0], [0]], ["a", "b"]),
    ("token_accuracy", [[0, 1], [0]], [[0], [0]], ["a", "b"]),
    ("auroc", [0.5, None], [0, 1], ["a", "b"]),
    ("auroc", [0.5, float("inf")], [0, 1], ["a", "b"]),
    ("auroc", [[0.5], [0.5, 0.5]], [0, 1], ["a", "b"]),
    ("auroc", [[], []], [0, 1], ["a", "b"]),
    ("auroc", [[0.5, 0.5], [0.5, 0.5]], [0, 7], ["a", "b"]),
    ("auroc", [0.5, 0.5], [[0], [1]], ["a", "b"]),
    ("unheard of", [0, 1], [0, 1], None),
]


@pytest.mark.parametrize(("metric", "predictions", "references", "labels"), PREDICTIONS)
def test_predictions_that_do_not_fit_the_metric_are_compared_by_seeds_alone(
    metric: str, predictions: Any, references: Any, labels: Any
) -> None:
    assert sample([answered(metric, predictions, references, labels)]).per_example is None


# Names

EVIL = "\x1b]0;owned\x07\x1b[31mred\x9b2J\r\nError: all is well\u202e\u2066\x00"


def evil_records() -> list[Record]:
    """Every name in these records is hostile; two seeds each, so that they are compared."""
    of = {"task": EVIL, "model": EVIL, "model_source": f"/{EVIL}", "preset": EVIL, "variant": EVIL}
    usual: dict[str, Any] = {"metric": EVIL, "scores": {EVIL: 0.5}, "memory": memory(kind=EVIL)}
    made = [measured(f"{at}{EVIL}", seed, of=of, **usual) for at in range(2) for seed in range(2)]
    bad = {"status": "error", "reason": EVIL, "traceback": EVIL, "scores": {}}
    return [*made, measured(f"bad{EVIL}", 0, of=of, **{**usual, **bad})]


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    for at in range(2):
        for each in evil_records():
            Store(tmp_path / f"evil{at}").write(each)
    broken = tmp_path / "evil0" / "records" / f"{EVIL.replace(chr(0), '')}.json"
    broken.write_text("{")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [["leaderboard", 0], ["leaderboard", 0, "--pairs"], ["leaderboard", 0, "--overall"],
     *(["leaderboard", 0, "--format", form] for form in ("markdown", "latex", "html")), ["compare", 0, 1],
     ["report", 0, "--out", "report.html"], ["verify", evil_records()[0].id, "--results", 0],
     ["publish", 0, "--to", "board", "--dry-run"]],
    ids=["leaderboard", "pairs", "overall", "markdown", "latex", "html", "compare", "report", "verify", "publish"],
)  # fmt: skip
def test_no_name_controls_the_terminal(
    arguments: list[Any], evil: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(evil)
    done = bench(*(evil / f"evil{part}" if isinstance(part, int) else part for part in arguments))
    for shown in (done.out, done.err):
        assert not {"\x1b", "\x07", "\x9b", "\r", "\x00", "\u202e", "\u2066"} & set(shown)
        assert not [line for line in shown.splitlines() if line.startswith("Error: all is well")]


def test_nothing_starts_like_a_formula_and_numbers_stay_numbers() -> None:
    signs = ("=", "+", "-", "@", "\t", "\r", "\n", "＝")
    usual: dict[str, Any] = {"predictions": [0, 1], "references": [0, 1]}
    made = [
        record(f"{s}cmd", seed, -0.25, of={"variant": f"{s}1", "task": f"{s}t", "preset": f"{s}p"}, reason=s, **usual)
        for s in signs
        for seed in range(2)
    ]
    made_of = texts(Tables(made))
    for name in ("leaderboard.csv", "cells.csv", "pairs.csv", "overall.csv"):
        for text in (cell for row in csv.reader(io.StringIO(made_of[name])) for cell in row):
            assert not text.startswith(signs) or float(text) <= 0
    assert {row["score"] for row in csv.DictReader(io.StringIO(made_of["cells.csv"]))} == {"-0.25"}
