"""What notebooks call: frames of records, and a grid run from Python."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Generator, Iterable
from pathlib import Path

import pandas as pd
import pytest
import tiny_grid
from commandline import Bench, caller
from made import failed, memory, parameters, record, speed

import bench
from bench.cli.run import run as run_command
from bench.errors import BenchError, UsageError
from bench.executors import Event, Finished, Job, Started
from bench.leaderboard import columns
from bench.plugins import registry
from bench.records.store import Store
from bench.runner import backend
from bench.train import worker


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = Store(tmp_path / "results")
    costs = {"parameters": parameters(), "speed": speed(), "memory": memory()}
    for seed in range(2):
        answers = {"losses": [0.5, 0.25], "predictions": [1, 0], "references": [1, 1]}
        store.write(record("a", seed, 0.5 + seed / 10, **answers, **costs))
    store.write(record("b", 0, 0.4))
    store.write(failed("b", 1))
    return store.root


@pytest.fixture
def bench_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Bench:
    return caller(monkeypatch, capfd)


def test_frames_of_a_folder(results: Path) -> None:
    found = bench.load(results)
    assert (len(found), repr(found)) == (4, "<Results: 4 cells, 2 methods, 1 tasks>")
    board = found.leaderboard.set_index("method")
    assert board.loc["a", "score_mean"] == pytest.approx(0.55)
    assert board.loc["a", "trainable_params"] == 10
    assert board.loc["b", "trainable_params"] is pd.NA
    assert board["trainable_params"].dtype == "Int64"
    assert board["score_mean"].dtype == "Float64"
    assert list(found.cells["status"]) == ["ok", "ok", "ok", "oom"]
    assert list(found.pairs["verdict"]) == ["no claim"]
    assert list(found.overall.columns) == list(columns.names(columns.OVERALL))
    assert found.overall["against"].isna().all()
    chosen = found.against("b")
    assert chosen.overall.set_index("method").loc["a", "difference_to_against"] == pytest.approx(0.1)
    assert list(chosen.pairs["method_b"]) == ["b"]
    with pytest.raises(UsageError, match="no method 'c'"):
        found.against("c")
    losses = found.losses.sort_values(["seed", "step"])[["method", "seed", "step", "loss"]]
    assert losses.to_numpy().tolist() == [
        ["a", seed, step, loss] for seed in (0, 1) for step, loss in ((1, 0.5), (2, 0.25))
    ]
    assert set(found.losses["model"]) == set(found.predictions["model"]) == {"minilm-l6"}  # two may be in one folder
    assert found.predictions[["example", "prediction", "reference"]].to_numpy().tolist() == 2 * [[0, 1, 1], [1, 0, 1]]


def test_tables_and_pictures_for_notebooks_and_papers(tmp_path: Path) -> None:
    store = Store(tmp_path / "board")
    for method, score, share in (("a", 0.5, 0.0), ("b", 0.7, 0.02)):
        for seed in range(2):
            store.write(record(method, seed, score, parameters=parameters(share_percent=share)))
    found = bench.load(store.root)
    assert found._repr_html_().startswith("<table>")
    assert found.against("a").to_latex("overall").count(r"\toprule") == 1
    assert found.to_latex().count(r"\textbf{0.7000}") == 2  # on the task, and as the mean
    drawn = found.plot.pareto()
    assert drawn is not None
    assert drawn._repr_svg_().startswith("<svg")
    (tmp_path / "empty").mkdir()
    nothing = bench.load(tmp_path / "empty")
    assert (nothing._repr_html_(), nothing.plot.pareto()) == ("No records.", None)


def test_several_folders_and_wrong_ones(results: Path, tmp_path: Path) -> None:
    Store(tmp_path / "more").write(record("b", 2, 0.4))
    assert len(bench.load(results, tmp_path / "more")) == 5
    with pytest.raises(UsageError, match="no results folder"):
        bench.load(tmp_path / "none")
    with pytest.raises(UsageError, match="No cell has the profile 'gpu'"):
        bench.load(results, profile="gpu")


def test_an_empty_folder_has_empty_frames(tmp_path: Path) -> None:
    found = bench.load(tmp_path)
    assert len(found) == len(found.leaderboard) == len(found.losses) == 0
    assert list(found.leaderboard.columns) == list(columns.names(columns.LEADERBOARD))


class InProcess:
    """An executor that runs cells in this process."""

    def run(self, jobs: Iterable[Job]) -> Generator[Event, None, None]:
        for job in jobs:
            yield Started(job.key, 0)
            yield Finished(job.key, worker.run(job.payload, lambda data: None))


def test_a_grid_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], bench_command: Bench
) -> None:
    """The same cells as the command line makes, failures as rows."""
    monkeypatch.setattr(backend, "local_executor", lambda workers, logs: InProcess())
    grid = tiny_grid.build(tmp_path)
    options = {**grid.keywords, "results": str(tmp_path / "r")}
    found = bench.run(["steady", "raises"], seeds=1, **options)
    assert found.leaderboard.set_index("method")["status"].to_dict() == {"steady": "ok", "raises": "1 error"}
    assert (tmp_path / "r" / "leaderboard.csv").is_file()
    assert found.losses["step"].max() == 18
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "[2/2]" in captured.err
    again = bench.run("steady", seeds=[0], **options)
    assert [r.id for r in again.records] == [r.id for r in found.records if r.cell.method == "steady"]
    texts = found.texts(grid.keywords["plugin"])
    joined = found.predictions.query("method == 'steady'").merge(texts)
    task = registry.tasks(map(Path, grid.keywords["plugin"])).get("tiny").plugin()
    expected = task.read(grid.folder / "tiny.tsv")["test"]
    assert len(joined) == len(found.records[0].references) > 1
    assert [(row.text, row.reference) for row in joined.itertuples()] == [tuple(e)[:2] for e in expected[: len(joined)]]
    with pytest.raises(UsageError, match="There is no task 'tiny'"):
        found.texts()
    done = bench_command(
        "run", *grid.options(tmp_path / "r"), "--methods", "steady", "--seeds", "1", "--dry-run", "--json"
    )
    assert [row["finished"] for row in json.loads(done.out)] == [True]


def test_run_has_the_options_of_the_command() -> None:
    """By the same names, with the same defaults, in its signature and its docstring."""
    command = inspect.signature(run_command).parameters
    function = inspect.signature(bench.run).parameters
    own = {"dry_run", "as_json"}
    assert {name: each.default for name, each in command.items() if name not in own} == {
        name: each.default for name, each in function.items()
    }
    assert all(f"        {name}: " in str(bench.run.__doc__) for name in function)
    with pytest.raises(TypeError, match="unexpected keyword argument 'plugins'"):
        bench.run(plugins=[])  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"methods": "stedy"}, "There is no method 'stedy'"),
        ({"methods": []}, "No name was given"),
        ({"tasks": []}, "No task was given"),
        ({"recipes": "nowhere"}, "--recipes nowhere: there is no such folder"),
    ],
)
def test_wrong_use_is_one_sentence(wrong: dict[str, object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=reason):
        bench.run(results=tmp_path, **wrong)  # type: ignore[arg-type]


def test_importing_the_package_stays_light() -> None:
    heavy = "import bench, sys; print([m for m in ('torch', 'pandas', 'numpy', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        bench.laod  # noqa: B018
