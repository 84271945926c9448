"""Trackers: what their own readers find, and that they take nothing from a cell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_grid
import torch
from accelerate import tracking as accelerates
from made import cell
from tiny_grid import TinyGrid

from bench import profiles
from bench.errors import UsageError
from bench.grid.suites import Budget
from bench.records.record import Record
from bench.train import tracking, worker
from bench.train.assignment import Assignment
from bench.train.data import prepare

pytestmark = pytest.mark.usefixtures("frozen_gc")

NUMBERS = ("losses", "validation_scores", "predictions", "scores")
STEPS = 18  # 24 examples in batches of 4, three epochs
SLOW = 0.2  # seconds


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("tracked"))


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tracking, "_silent", set())
    prepare.cache_clear()
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def run(grid: TinyGrid, results: Path, *track: str, method: str = "steady") -> tuple[Record, list[str]]:
    """The record of a cell that these trackers log, and the warnings that reach the driver."""
    asked = cell(
        method,
        task="tiny",
        profile=profiles.load(str(grid.profile)),
        budget=Budget(choose="best"),
        recipe={"epochs": 3, "min_steps": 0},
        params={},
    )
    files = tuple(grid.folder / name for name in ("tiny_task.py", "tiny_methods.py"))
    given = Assignment(asked, grid.folder / "tiny.tsv", grid.model, files, 1, results, track=track)
    reports: list[dict[str, Any]] = []
    done = worker.run(given, reports.append)
    assert not any(name in tracking.CURVES for each in reports for name in each)
    return getattr(done, "result", done), [each["warning"] for each in reports if "warning" in each]


class Fake(accelerates.GeneralTracker):
    """Stands in for accelerate's MLflowTracker. fails: the call that raises or, by `naps`, takes long."""

    name, requires_logging_directory, tracker = "fake", False, None
    fails, naps = "", ""
    made: list[Fake]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.calls: list[str] = []
        self.made.append(self)

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if call == self.naps:
            time.sleep(SLOW)
        if call == self.fails:
            raise SystemExit("the server is gone")

    def start(self) -> None:
        self._called("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self._called("configure")

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        self._called("log")

    def finish(self) -> None:
        self._called("finish")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    made = type("Made", (Fake,), {"made": []})
    monkeypatch.setattr(accelerates, "MLflowTracker", made)
    return made


def test_tensorboards_reader_finds_the_run(grid: TinyGrid, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    plain, _ = run(grid, tmp_path / "plain")
    for _ in range(2):  # a second attempt takes the place of the first
        record, warnings = run(grid, tmp_path / "tracked", "tensorboard")
    assert warnings == []
    assert all(getattr(record, name) == getattr(plain, name) for name in NUMBERS)
    assert record.memory is not None
    assert plain.memory is not None
    assert record.memory.train_peak_mib == plain.memory.train_peak_mib is not None
    group = tmp_path / "tracked" / tracking.FOLDER / f"{record.cell.preset}-{record.cell.model}-tiny-cpu"
    (folder,) = group.iterdir()
    assert folder.name == f"steady-on-tiny-seed0-{record.id}"
    events = reader.EventAccumulator(str(folder)).Reload()
    read = {name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert read["loss"] == [(at, pytest.approx(loss)) for at, loss in enumerate(record.losses, 1)]
    assert len(read["loss"]) == STEPS
    assert read["validation"] == list(
        zip(record.validation_steps, map(pytest.approx, record.validation_scores), strict=True)
    )
    assert all(value > 0 for _, value in read["examples_per_second"] + read["process_peak_mib"])
    assert record.speed is not None
    assert read["record/speed/step_p50_ms"] == [(STEPS, pytest.approx(record.speed.step_p50_ms))]
    assert read["record/scores/accuracy"] == [(STEPS, pytest.approx(record.score))]
    assert events.Tensors("record/status/text_summary")[0].tensor_proto.string_val == [b"ok"]


def test_mlflows_client_finds_the_run(grid: TinyGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow takes older libraries than constraints.txt has")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    ended = {method: run(grid, tmp_path, "mlflow", method=method)[0] for method in ("steady", "raises")}
    client = mlflow.MlflowClient((tmp_path / "mlruns").as_uri())
    (experiment,) = client.search_experiments(filter_string="name LIKE '%tiny-cpu'")
    found = {each.data.params["method"]: each for each in client.search_runs([experiment.experiment_id])}
    assert found.keys() == ended.keys()
    steady = ended["steady"]
    assert found["steady"].info.run_name == f"steady-on-tiny-seed0-{steady.id}"
    status = {name: each.data.params["record/status"] for name, each in found.items()}
    assert status == {"steady": "ok", "raises": "error"}
    history = client.get_metric_history(found["steady"].info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == list(enumerate(steady.losses, 1))
    assert found["steady"].data.metrics["record/scores/accuracy"] == steady.score
    assert {each.info.status for each in found.values()} == {"FINISHED"}


def test_a_slow_tracker_takes_nothing_from_the_steps(grid: TinyGrid, tmp_path: Path, fake: type[Fake]) -> None:
    fake.naps = "log"
    record, warnings = run(grid, tmp_path, "mlflow")
    assert (record.status, warnings) == ("ok", [])
    assert fake.made[0].calls.count("log") == STEPS + len(record.validation_steps) + 1
    assert record.timeline["total"] > STEPS * SLOW  # it did take long
    assert record.speed is not None
    assert 4 * (STEPS - 3) / record.speed.train_examples_per_second < SLOW
    assert record.timeline["train"] < STEPS * SLOW / 2


@pytest.mark.parametrize(("call", "calls"), [("start", 1), ("configure", 2), ("log", 3), ("finish", None)])
def test_a_tracker_that_fails_costs_a_warning(
    grid: TinyGrid, tmp_path: Path, fake: type[Fake], call: str, calls: int | None
) -> None:
    fake.fails = call
    record, warnings = run(grid, tmp_path, "mlflow")
    assert (record.status, record.notes) == ("ok", [])
    assert warnings == ["not logged by mlflow from here on: SystemExit: the server is gone"]
    assert (
        calls is None
        or [each for each in fake.made[0].calls if each != "finish"] == ["start", "configure", "log"][:calls]
    )


def test_a_tracker_that_does_not_answer_is_left_behind(
    grid: TinyGrid, tmp_path: Path, fake: type[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.naps = "start"
    monkeypatch.setattr(tracking, "PATIENCE", SLOW / 10)
    record, warnings = run(grid, tmp_path, "mlflow")
    again, more = run(grid, tmp_path, "mlflow")
    assert (record.status, again.status, len(warnings), more, len(fake.made)) == ("ok", "ok", 1, [], 1)


def test_run_takes_names_of_trackers(grid: TinyGrid, tmp_path: Path) -> None:
    wrong = grid.run(tmp_path, "steady", "--track", "tensorboard", "--track", "mlflo")
    assert (wrong.returncode, "did you mean 'mlflow'?" in wrong.stderr) == (2, True)
    assert not (tmp_path / "records").exists()
    pytest.importorskip("tensorboard")
    plain = grid.run(tmp_path, "steady")
    tracked = grid.run(tmp_path, "steady,chatty", "--track", "tensorboard")
    assert (plain.returncode, tracked.returncode, "1 of them finished already" in tracked.stderr) == (0, 0, True)
    (folder,) = tmp_path.glob(f"{tracking.FOLDER}/tiny-suite-*/*")
    assert folder.name.startswith("chatty-on-tiny-seed7-")


def test_names_of_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()  # what wandb leaves in the working directory is not wandb
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(tracking, "TRACKERS", (*tracking.TRACKERS, "json", "absent"))
    assert tracking.wanted(["json", "json"]) == ("json",)
    with pytest.raises(UsageError, match="There is no tracker 'mlflo'; did you mean 'mlflow'"):
        tracking.wanted(["mlflo"])
    with pytest.raises(UsageError, match="--track absent needs absent, which is not installed: pip install absent"):
        tracking.wanted(["absent"])
