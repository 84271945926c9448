"""The command line: what it prints where, and one sentence and exit code 2 for each wrong use."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny_grid
from commandline import Bench
from made import failed, record
from tiny_grid import TinyGrid

from bench import __version__, asking, catalogue, leaderboard, planning, running, verify
from bench.cli.common import parse_seeds
from bench.errors import UsageError
from bench.executors import Event, Finished, Job, Lost
from bench.record import Data, ExtraTest, Record
from bench.store import Store

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    """The tiny grid without weights: nothing here trains."""
    return tiny_grid.build(tmp_path_factory.mktemp("grid"), weights=False)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Records of two methods at two seeds, one of which failed."""
    store = Store(tmp_path / "results")
    for made in (record("a", 0, 0.5), record("a", 1, 0.7), record("b", 0, 0.25), failed("b", 1, "oom")):
        store.write(made)
    return store.root


# Wrong use


def options(grid: TinyGrid, results: Path, **changed: object) -> list[object]:
    """The options of a run that would work, with some replaced."""
    usual: dict[str, object] = {"suite": grid.suite, "profile": grid.profile, "results": results}
    chosen = {key: value for key, value in {**usual, **changed}.items() if value is not None}
    return ["run", *grid.plugins, *(part for key, value in chosen.items() for part in (f"--{key}", value))]


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "method": ({"methods": "stedy"}, "There is no method 'stedy'; did you mean 'steady'? There are: adapters, bitfit"),
    "spec": ({"methods": "steady[width"}, "A bracket in 'steady[width' is never closed"),
    "no method": ({"methods": ""}, "No name was given"),
    "parameter": ({"methods": "steady[widht=2]"}, "steady: there is no parameter 'widht', did you mean 'width'?"),
    "value": ({"methods": "steady[width=x]"}, "steady: width='x' is not allowed: input should be a valid integer"),
    "task": ({"tasks": "tny"}, "There is no task 'tny'; did you mean 'tiny'?"),
    "no task": ({"tasks": " , "}, "No task was given; `python -m bench list tasks` shows them"),
    "model": ({"model": "minilm"}, "There is no model 'minilm'; did you mean 'minilm-l6'?"),
    "model folder": ({"model": "./nowhere"}, "There is no file or folder nowhere"),
    "profile": ({"profile": "cpuu"}, "There is no profile 'cpuu'. Did you mean cpu?"),
    "profile file": ({"profile": "./no.toml"}, "Profile file ./no.toml cannot be read"),
    "suite": ({"suite": "quik"}, "There is no suite 'quik'; did you mean 'quick'?"),
    "preset": ({"suite": None, "preset": "qick"}, "There is no preset 'qick'; did you mean 'quick'?"),
    "both": ({"preset": "quick"}, "Give --suite or --preset, not both"),
    "executor": ({"executor": "rai"}, "There is no executor 'rai'; there are: local, ray."),
    "address": ({"ray-address": "auto"}, "--ray-address goes with --executor ray"),
    "workers": ({"workers": 0}, "--workers 0: at least one worker is needed"),
    "too many": ({"workers": 100}, "Profile tiny-cpu-100w cannot be honoured here: needs 100 cores"),
    "seeds": ({"seeds": "a"}, "--seeds 'a' is neither a count (3) nor a list (0,1,2)"),
    "plugin": ({"plugin": "no.py"}, "there is no Python file of that name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_sentence_and_code_2(case: str, bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    changed, reason = WRONG[case]
    done = bench(*options(grid, tmp_path / "results", **changed))
    assert (done.code, done.out) == (2, "")
    sentence = done.err.splitlines()[-1]
    assert sentence.startswith("Error: ")
    assert reason in sentence
    assert "Traceback" not in done.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run", "--nonsense"], "No such option"),
        (["run", "--timeout", "0"], "Invalid value"),
        (["run", "--workers", "two"], "Invalid value"),
        (["rum"], "No such command"),
        (["list", "method"], "There is nothing called 'method' to list; did you mean 'methods'?"),
        (["leaderboard", "nowhere"], "There is no results folder nowhere; `python -m bench run` makes one."),
        (["verify", "abc", "--results", "nowhere"], "No cell of nowhere has an id that starts with 'abc'."),
        (["check", "pasat"], "There is no plugin 'pasat'; did you mean 'pasta'?"),
        (["check", "sms-spm"], "There is no plugin 'sms-spm'; did you mean 'sms-spam'?"),
        (["check", "lora[q=4]"], "lora: there is no parameter 'q'"),
        (["check", "sms-spam[a=1]"], "A task has no parameters: write 'sms-spam'"),
        (["check", "nowhere.py"], "there is no Python file of that name"),
        (["check", "pasta", "--model", "minilm"], "There is no model 'minilm'; did you mean 'minilm-l6'?"),
        (["fetch", "--tasks", "sms-spm"], "There is no task 'sms-spm'; did you mean 'sms-spam'?"),
        (["fetch", "--model", "hub:a/b"], "'hub:a/b' is not pinned"),
    ],
)
def test_wrong_use_of_other_commands_too(arguments: list[str], reason: str, bench: Bench) -> None:
    done = bench(*arguments)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [0, 1, 2]), ("1", [0]), ("0,1", [0, 1]), ("5,", [5]), ("0,", [0]), ("7, 3,7", [7, 3]), (" 2 ", [0, 1])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", ",", "0", "-1", "0,-1", "a", "1.5", "1;2", "1e3", "20260101"])
def test_wrong_seeds(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        parse_seeds(text)


def test_a_broken_plugin_is_named_and_the_rest_works(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise LookupError('no luck [/red]')")
    done = bench(*options(grid, tmp_path / "r"), "--plugin", broken, "--dry-run", "--json")
    assert done.code == 0
    assert "Not usable: method broken: LookupError: no luck [/red]" in done.err
    assert len(json.loads(done.out)) == 2


# run --dry-run


def dry_run(bench: Bench, grid: TinyGrid, results: Path, *more: object, **changed: object) -> list[dict[str, Any]]:
    done = bench(*options(grid, results, **changed), "--dry-run", "--json", *more)
    assert done.code == 0, done.err
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def test_a_dry_run_shows_the_cells_and_writes_nothing(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    results = tmp_path / "results"
    rows = dry_run(bench, grid, results, methods="steady,chatty,steady[width=2]", seeds="2")
    shown = [(row["seed"], row["method"], row["method_params"], row["finished"]) for row in rows]
    names = [("steady", ""), ("chatty", ""), ("steady", "width=2")]
    assert shown == [(seed, *name, False) for seed in (0, 1) for name in names]
    assert len({row["cell"] for row in rows}) == 6
    assert set(rows[0]) <= {*leaderboard.CELL_COLUMNS, "finished", "estimated_seconds"}
    assert all(row["preset"] == "tiny-suite" and row["profile"] == "tiny-cpu" for row in rows)
    assert not results.exists()
    text = bench(*options(grid, results, seeds="2"), "--dry-run").out
    assert "4 cells, 0 finished. Profile tiny-cpu: " in text
    assert "Estimated time: unknown; run once, and it is known." in text


def test_a_suite_is_the_default_and_options_replace_it(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    assert [(row["method"], row["seed"]) for row in dry_run(bench, grid, tmp_path)] == [("steady", 7), ("chatty", 7)]
    rows = dry_run(bench, grid, tmp_path, suite=None, model=grid.model, tasks="tiny", methods="steady")
    assert [(row["seed"], row["preset"], row["model"]) for row in rows] == [(s, "quick", "tiny-bert") for s in range(3)]


def test_one_method_written_in_two_ways_is_one_cell(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    methods = "steady,steady[width=1],steady[wide=false],steady[wide=true,width=2],steady[width=2,wide=true]"
    assert len(dry_run(bench, grid, tmp_path, methods=methods, tasks="tiny,tiny")) == 2


def test_more_workers_are_another_profile(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    alone, usual, shared = (dry_run(bench, grid, tmp_path, workers=workers) for workers in (None, 1, 2))
    assert [row["cell"] for row in alone] == [row["cell"] for row in usual]
    assert {row["profile"] for row in shared} == {"tiny-cpu-2w"}
    assert {row["cell"] for row in shared}.isdisjoint(row["cell"] for row in alone)


def test_changed_data_or_another_budget_is_another_cell(bench: Bench, tmp_path: Path) -> None:
    grid = tiny_grid.build(tmp_path, weights=False)
    ids = [[row["cell"] for row in dry_run(bench, grid, tmp_path / "r")]]
    for path, old, new in (
        (grid.folder / "tiny.tsv", "train\t0", "train\t1"),
        (grid.suite, "test_examples = 12", "test_examples = 11"),
        (grid.profile, "threads = 1", 'threads = "all"'),
        (grid.model / "config.json", "{}", "{ }"),
    ):
        path.write_text(path.read_text().replace(old, new, 1))
        ids.append([row["cell"] for row in dry_run(bench, grid, tmp_path / "r")])
    assert len({cell for each in ids for cell in each}) == 10


def test_a_dry_run_knows_what_is_finished_and_how_long_the_rest_takes(
    bench: Bench, grid: TinyGrid, tmp_path: Path
) -> None:
    from bench import suites
    from bench.cell import new_record
    from bench.specs import parse_all

    plugins = [Path(file) for file in grid.plugins[1::2]]
    request = asking.Request(
        suite=suites.load(str(grid.suite)),
        methods=parse_all("steady"),
        tasks=["tiny"],
        seeds=[7],
        model=str(grid.model),
        profile=str(grid.profile),
        results=tmp_path,
        plugins=plugins,
    )
    done = new_record(planning.plan(request).cells[0])
    done.status, done.timeline = "ok", {"total": 100.0}
    Store(tmp_path).write(done)
    first, second = dry_run(bench, grid, tmp_path)
    assert (first["cell"], first["finished"], first["estimated_seconds"]) == (done.id, True, None)
    assert (second["finished"], second["estimated_seconds"]) == (False, 100.0)
    text = bench(*options(grid, tmp_path), "--dry-run").out
    assert "2 cells, 1 finished." in text
    assert "Estimated time: 2 min." in text
    assert [row["finished"] for row in dry_run(bench, grid, tmp_path, "--force")] == [False, False]


# list


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_list_shows_what_there_is_as_text_and_as_json(kind: str, bench: Bench) -> None:
    entries = json.loads(bench("list", kind, "--json").out)
    assert [entry["name"] for entry in entries] == sorted(entry["name"] for entry in entries)
    assert all(entry["summary"] for entry in entries)
    done = bench("list", kind)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == [entry["name"] for entry in entries]


def test_list_without_a_kind_shows_all(bench: Bench) -> None:
    found = json.loads(bench("list", "--json").out)
    assert tuple(found) == catalogue.KINDS
    text = bench("list").out
    assert [line for line in text.splitlines() if line.endswith(":")] == [f"{kind}:" for kind in catalogue.KINDS]


def test_list_shows_plugins_and_why_one_is_broken(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_the_kind")
    listed = json.loads(bench("list", "methods", "--json", *grid.plugins, "--plugin", broken).out)
    found = {entry["name"]: entry for entry in listed}
    assert found["steady"]["status"] == "ok"
    assert found["steady"]["params"] == {"width": "int = 1", "wide": "bool = false"}
    assert found["broken"]["status"] == "broken: ModuleNotFoundError: No module named 'nothing_of_the_kind'"
    text = bench("list", "methods", "--plugin", broken).out
    assert "broken: ModuleNotFoundError" in text


# leaderboard


def test_the_leaderboard_as_json_has_the_columns_names(bench: Bench, results: Path) -> None:
    for more, columns in ((["--per-cell"], leaderboard.CELL_COLUMNS), ([], leaderboard.COLUMNS)):
        rows = json.loads(bench("leaderboard", results, "--json", *more).out)
        assert [tuple(row) for row in rows] == [columns] * len(rows)
    assert [(row["method"], row["score_mean"], row["n_failed"]) for row in rows] == [("a", 0.6, 0), ("b", 0.25, 1)]


def test_the_leaderboard_as_csv(bench: Bench, results: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "board.csv"
    done = bench("leaderboard", results, "--out", out)
    assert (done.code, done.out, done.err) == (0, "", "")
    with out.open(newline="") as lines:
        assert [row["method"] for row in csv.DictReader(lines)] == ["a", "b"]
    done = bench("leaderboard", results, "--per-cell")
    cells = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["method"], row["seed"], row["status"]) for row in cells] == [
        ("a", "0", "ok"),
        ("a", "1", "ok"),
        ("b", "0", "ok"),
        ("b", "1", "oom"),
    ]


def test_a_file_and_json_at_once_hold_the_same_rows(bench: Bench, results: Path, tmp_path: Path) -> None:
    for more in ([], ["--per-cell"], ["--pairs"]):
        done = bench("leaderboard", results, "--out", tmp_path / "board.csv", "--json", *more)
        with (tmp_path / "board.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert len(json.loads(done.out)) == len(rows) > 0


def test_the_leaderboard_for_people(bench: Bench, results: Path) -> None:
    done = bench("leaderboard", results)
    assert (done.code, done.err) == (0, "")
    assert "matthews 0.6000 ± 0.1414" in done.out
    assert "1 oom" in done.out
    assert "Profile: cpu." in done.out


def test_damaged_records_are_left_out_aloud(bench: Bench, results: Path) -> None:
    path = next((results / "records").glob("*.json"))
    path.write_text("{")
    done = bench("leaderboard", results, "--per-cell", "--json")
    assert done.code == 0
    assert len(json.loads(done.out)) == 3
    assert " ".join(done.err.split()).startswith(f"Left out: {path} cannot be read as a record")


def test_a_place_that_cannot_be_written_is_one_sentence(bench: Bench, results: Path) -> None:
    (results / "file").write_text("")
    done = bench("leaderboard", results, "--out", results / "file" / "board.csv")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Error: {results}/file/board.csv cannot be written: ")
    assert len(done.err.splitlines()) == 1


# verify


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
    monkeypatch.setattr(running, "local_executor", lambda *arguments: Returning({old.id: {"losses": losses}}, [old]))
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
    monkeypatch.setattr(running, "local_executor", lambda *arguments: Returning(changes, made))
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
    [([], "Name cells, or let --random N draw some"), (["ab", "--random", 1], "Name cells, or let --random N draw"),
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


# The program


def test_help_and_version_import_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('not here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"}
    for arguments, text in ((["--help"], "leaderboard"), (["run", "-h"], "--dry-run"), (["--version"], __version__)):
        done = subprocess.run(
            [sys.executable, "-m", "bench", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert text in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def test_an_error_in_a_process_of_its_own_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "run", "--methods", "lor"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"Error: There is no method 'lor'; did you mean 'lora'\? There are: [^\n]*\n", done.stderr)
