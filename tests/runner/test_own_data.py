"""`--data`: from a file to a leaderboard, in every command the same, and what its user is told."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_grid
from commandline import Bench
from made import unlike_any
from tiny_grid import TinyGrid

import bench as api
from bench.check.examples import WORDS
from bench.grid.cell import Cell
from bench.runner.options import Options
from bench.runner.own_data import declared
from bench.runner.plan import plan
from bench.runner.request import Request

CLASSES = [f"class {letter}" for letter in "abcdefghijklmnopq"]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("grid"))


def complaints(file: Path) -> Path:
    """As Excel saves: a byte-order mark, quotes and line breaks in fields, 17 classes, 3 empty texts, 40 repeated
    inputs of which 5 have another label.
    """
    rng = random.Random(0)
    words = [word for word in WORDS if word.isalpha()]
    rows = []
    for at in range(340):
        text = " ".join(rng.choices(words, k=6))
        rows.append((f'{text}, they "said"\n{CLASSES[at % 17][-1] * 3} {at:03}', CLASSES[at % 17]))
    rows += [
        (text, CLASSES[0] if at < 5 and label != CLASSES[0] else label) for at, (text, label) in enumerate(rows[1:41])
    ]
    rows += [("", CLASSES[0]), (" ", CLASSES[1]), ("", CLASSES[2])]
    with file.open("w", newline="", encoding="utf-8-sig") as lines:
        csv.writer(lines).writerows([("message", "category"), *rows])
    return file


def common(grid: TinyGrid, results: Path) -> list[object]:
    return [*grid.options(results), "--methods", "steady"]


@pytest.mark.slow
def test_from_a_csv_to_a_leaderboard(grid: TinyGrid, bench: Bench, tmp_path: Path) -> None:
    file, results = complaints(tmp_path / "complaints.csv"), tmp_path / "results"
    data = ["--data", file, "--text", "message", "--label", "category", "--validation", "34", "--test", "0.25"]
    done = bench("run", *common(grid, results), *data)
    assert done.code == 0, done.err
    for told in (
        "complaints, examples: 383 read, 3 dropped without a text or a label, 40 removed because of equal inputs, "
        "5 inputs have more than one label, ",
        "complaints, used by this suite: 221 for train, 34 for validation, 12 for test.",
        "complaints, classes: 17: class ",
        "complaints, words: of an input: median 10, 95 % have up to 10, the longest 10.",
        "complaints, constant answer: accuracy 0.0",
    ):
        assert told in done.err
    (record,) = tiny_grid.records(results).values()
    kept = {"examples", "labels", "removed", "conflicts", "dropped"}
    assert {key: value for key, value in record["data"].items() if key in kept} == {
        "examples": {"train": 221, "validation": 34, "test": 12}, "labels": CLASSES,
        "removed": 40, "conflicts": 5, "dropped": 3,
    }  # fmt: skip
    assert f"complaints, constant answer: accuracy {record['constant_score']:.4f} on test" in done.err
    assert (record["cell"]["task"], record["cell"]["task_source"]) == ("complaints", "complaints.csv")
    assert record["metric"] == "accuracy"
    assert "complaints" in bench("leaderboard", results).out
    # Later commands find the task by the file that was written, without an option.
    assert (results / "tasks" / "complaints.toml").is_file()
    done = bench("verify", record["id"], "--results", results, "--plugin", grid.folder / "tiny_methods.py")
    assert "the same bit for bit" in done.out, done.err
    same = {"data": file, "text": "message", "label": "category", "validation": 34, "test": 0.25}
    found = api.run("steady", **same, results=results, **grid.keywords)
    assert [each.id for each in found.records] == [record["id"]]  # not run again


@pytest.mark.parametrize("command", ["run", "plan", "tune"])
def test_what_does_not_fit_is_refused_before_anything_trains(
    command: str, grid: TinyGrid, bench: Bench, tmp_path: Path
) -> None:
    file = complaints(tmp_path / "complaints.csv")
    columns = ["--text", "message", "--label", "category"]
    for options, message in (
        ([], "complaints.csv has no column 'label' (text, pair and label say which). There are: category, message."),
        (
            ["--text", "message", "--label", "catgory"],
            "has no column 'catgory' (text, pair and label say which); did you mean 'category'?",
        ),
        ([*columns, "--metric", "f1"], "The task 'complaints' cannot be run: the metric 'f1' does not score 17 labels"),
        ([*columns, "--metric", "f2"], "There is no metric 'f2'"),
        ([*columns, "--kind", "regression"], "row 1: 'class "),
        ([*columns, "--labels", "class a,class b"], "there is no label 'class "),
        ([*columns, "--test", "1.5"], "test: 1.5 is neither a share between 0 and 1 nor a number"),
        ([*columns, "--test", "400"], "complaints cannot be cut into splits: 340 distinct examples are too few"),
    ):
        done = bench(command, *common(grid, tmp_path / "out"), "--data", file, *options)
        assert (done.code, done.out) == (2, ""), done.err
        errors = [line for line in done.err.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1
        assert message in errors[0]
    assert not (tmp_path / "out" / "records").exists()


def test_options_that_contradict_each_other(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "sms-spam.csv").write_text("text,label\na,b\n")
    for options, message in (
        (["--label", "x"], "--label describes a file of your own: it goes with --data FILE."),
        (["--data", "x" * 5000], "there is no file or folder of that name"),
        (["--data", tmp_path / "absent.csv"], "there is no file or folder of that name"),
        (["--data", tmp_path / "sms-spam.csv"], "has a task 'sms-spam' already; rename the file"),
        (["--data", tmp_path / "sms-spam.csv", "--text", "label"], "text, pair and label must be different columns"),
    ):
        for command in ("run", "plan", "tune", "check"):
            results = [] if command == "check" else ["--results", tmp_path / "out"]
            done = bench(command, *results, *options)
            assert (done.code, done.err.count("\n")) == (2, 1)
            assert message in done.err


@pytest.mark.slow
def test_check_shows_the_data_and_leaves_nothing_behind(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = complaints(tmp_path / "complaints.csv")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nsource = "complaints.csv"\ntext = "message"\nlabel = "category"\n'
    )
    done = bench("check", "mine.toml", "--data", file, "--text", "message", "--label", "category")
    for name in ("mine", "complaints"):
        assert f"{name}: 11 checks: ok" in done.out.splitlines()
    assert done.out.count("  examples: 383 read, 3 dropped without a text or a label, 40 removed") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["complaints.csv", "mine.toml"]


def test_plan_says_what_run_says(grid: TinyGrid, bench: Bench, tmp_path: Path) -> None:
    file = complaints(tmp_path / "complaints.csv")
    data = ["--data", file, "--text", "message", "--label", "category", "--json"]
    done = bench("plan", *common(grid, tmp_path / "out"), *data)
    (row,) = json.loads(done.out)
    assert row["head_params"] == 32 * 17 + 17  # the labels of the file
    done = bench("plan", *common(grid, tmp_path / "out"), *data[:-1])
    assert "complaints, examples: 383 read" in done.err


def test_a_data_set_of_the_hub(grid: TinyGrid, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    folder = tmp_path / "mirror" / "someone" / "reviews"
    folder.mkdir(parents=True)
    for split, count in {"train": 40, "validation": 8, "test": 12}.items():
        rows = [{"text": f"{split} {unlike_any(at)}", "label": at % 3 + 1} for at in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hub = ["--data", "hub:datasets/someone/reviews@v1", "--mirror", tmp_path / "mirror"]
    done = bench("plan", *common(grid, tmp_path / "out"), *hub, "--json")
    (row,) = json.loads(done.out)
    assert (row["task"], row["head_params"]) == ("reviews", 32 * 3 + 3)
    absent = ["--data", f"hub:datasets/someone/others@{'0' * 40}", "--mirror", tmp_path / "mirror"]
    done = bench("plan", *common(grid, tmp_path / "out"), *absent)  # how many labels there are is in the data
    assert done.code == 2
    assert "Cannot get the files of the dataset someone/others at revision 0000" in done.err


def test_results_are_not_written_into_the_data(grid: TinyGrid, bench: Bench, tmp_path: Path) -> None:
    complaints(tmp_path / "complaints.csv")
    done = bench("run", *common(grid, tmp_path / "out"), "--data", tmp_path)
    assert done.code == 2
    assert "out is inside " in done.err
    assert not (tmp_path / "out" / "records").exists()


def test_a_folder_of_split_files_and_where_it_lies(grid: TinyGrid, tmp_path: Path) -> None:
    def cells(folder: Path) -> list[Cell]:
        for split, places in {"train": range(30), "test": range(30, 40)}.items():
            folder.mkdir(parents=True, exist_ok=True)
            rows = "".join(f"{WORDS[at % 9]} {WORDS[at // 9]} {at},{'ab'[at % 2]}\n" for at in places)
            (folder / f"{split}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
        options = Options("steady", data=folder, results=tmp_path / folder.parent.name, **grid.keywords)
        return plan(Request.of(options)).cells

    (one,), (other,) = cells(tmp_path / "here" / "mine"), cells(tmp_path / "there" / "mine")
    assert one == other  # wherever the folder and the results are
    assert (one.task, one.task_source) == ("mine", "mine")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("hub:datasets/OWNER/reviews@main!/small", "small"),
        ("hub:datasets/OWNER/reviews@refs/convert/parquet", "reviews"),
        ("my data (2).v1.csv", "my-data-2-.v1"),
        ("....csv", "data"),
    ],
)
def test_the_name_is_that_of_the_source(
    source: str, name: str, tmp_path: Path, write_file: Callable[[str], str]
) -> None:
    given = source if source.startswith("hub:") else write_file(source)
    assert declared(Options(data=given), tmp_path) == tmp_path / f"{name}.toml"


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[[str], str]:
    def write(name: str) -> str:
        (tmp_path / name).touch()
        return str(tmp_path / name)

    return write
