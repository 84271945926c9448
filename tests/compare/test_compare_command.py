"""`compare` and `noise` on the command line: exit codes, files, and one sentence for each wrong use."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commandline import Bench
from made import failed, measured

from bench import profiles
from bench.comparison import noise
from bench.comparison.measures import NOISY
from bench.comparison.noise import MachineKind, Noise, Spread
from bench.records.record import Record
from bench.records.store import Store
from bench.runner import session
from bench.runner.run import RunResult


def seeds(method: str = "a", **changes: Any) -> list[Record]:
    return [measured(method, seed, **changes) for seed in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """folder(name, records): a results folder of these."""

    def make(name: str, *records: Record) -> Path:
        store = Store(tmp_path / name)
        store.records.mkdir(parents=True)
        for record in records:
            store.write(record)
        return store.root

    return make


Folder = Callable[..., Path]
WORSE = {"adapter_bytes": 2000}


def test_0_nothing_got_worse(bench: Bench, folder: Folder) -> None:
    done = bench("compare", folder("base", *seeds()), folder("new", *seeds()))
    assert done.code == 0
    assert "7 figures of 1 rows: 0 regressions" in done.out
    assert done.err == ""


def test_1_something_got_worse(bench: Bench, folder: Folder) -> None:
    done = bench("compare", folder("base", *seeds()), folder("new", *seeds(**WORSE)))
    assert done.code == 1
    assert "WORSE  a on sms-spam  bytes" in done.out


def test_1_a_row_that_fails(bench: Bench, folder: Folder) -> None:
    done = bench("compare", folder("base", *seeds()), folder("new", *(failed("a", s, "timeout") for s in range(3))))
    assert done.code == 1
    assert "REGRESSION: a on sms-spam: succeeded before, now 3 timeout" in done.out


def test_3_nothing_comparable(bench: Bench, folder: Folder, tmp_path: Path) -> None:
    new, empty = folder("new", *seeds()), folder("empty")
    other = folder("other", *seeds(of={"profile": profiles.load("cpu-2core")}))
    for base, after, reason in (
        (tmp_path / "nowhere", new, f"there is no folder {tmp_path / 'nowhere'}"),
        (empty, new, f"{empty} holds no record"),
        (new, empty, f"{empty} holds no record"),
        (folder("b", *seeds("b")), new, "have nothing in common"),
        (other, new, "have nothing in common"),
    ):
        done = bench("compare", base, after)
        assert (done.code, done.err.count("\n")) == (3, 1)
        assert done.err.startswith("Nothing comparable: ")
        assert reason in done.err
    assert "--across-profiles compares" in bench("compare", other, new).out
    assert bench("compare", other, new, "--across-profiles").code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--threshold", "socre=0.1"], "There is no quantity 'socre' to set a threshold for; did you mean 'score'?"),
        (["--threshold", "score"], "--threshold 'score' is not NAME=VALUE"),
        (["--threshold", "score=much"], "is not NAME=VALUE"),
        (["--threshold", "score=-1"], "is not NAME=VALUE"),
        (["--threshold", "score=nan"], "is not NAME=VALUE"),
        (["--threshold", "score=inf"], "is not NAME=VALUE"),
        (["--threshold", "score=2%"], "a score's threshold is in units of the score"),
        (["--noise", "nowhere.json"], "nowhere.json cannot be read"),
        (["--junit", "/proc/nowhere/x.xml"], "/proc/nowhere/x.xml cannot be written"),
    ],
)
def test_2_wrong_use_is_one_sentence(arguments: list[str], reason: str, bench: Bench, folder: Folder) -> None:
    done = bench("compare", folder("base", *seeds()), folder("new", *seeds()), *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1


def test_2_a_new_run_that_is_not_there(bench: Bench, folder: Folder) -> None:
    done = bench("compare", folder("base", *seeds()), "nowhere")
    assert (done.code, done.err) == (2, "Error: There is no results folder nowhere; `python -m bench run` makes one.\n")


def test_a_threshold_of_ones_own(bench: Bench, folder: Folder) -> None:
    base, new = folder("base", *seeds()), folder("new", *seeds(adapter_bytes=1040, trainable=11))
    assert bench("compare", base, new).code == 1
    assert bench("compare", base, new, "--threshold", "adapter_bytes=5%").code == 1
    both = ("--threshold", "adapter_bytes=5%", "--threshold", "trainable_params=0.1")
    assert bench("compare", base, new, *both).code == 0


def test_every_format_at_once(bench: Bench, folder: Folder, tmp_path: Path) -> None:
    files = {"--junit": tmp_path / "out" / "j.xml", "--markdown": tmp_path / "out" / "m.md"}
    wanted = [part for pair in files.items() for part in pair]
    done = bench("compare", folder("base", *seeds()), folder("new", *seeds(**WORSE)), *wanted, "--json")
    assert done.code == 1
    assert json.loads(done.out)["verdict"] == "regression"
    assert len(ElementTree.parse(files["--junit"]).findall("testsuite/testcase/failure")) == 1
    assert "### Got worse" in files["--markdown"].read_text(encoding="utf-8")


def test_a_failing_comparison_still_writes_its_files(bench: Bench, folder: Folder, tmp_path: Path) -> None:
    done = bench("compare", tmp_path / "nowhere", folder("new", *seeds()), "--markdown", tmp_path / "m.md", "--json")
    assert done.code == 3
    assert json.loads(done.out)["verdict"] == "nothing comparable"
    assert "nothing comparable" in (tmp_path / "m.md").read_text(encoding="utf-8")


def test_the_noise_beside_the_base_is_found_and_another_file_goes_first(bench: Bench, folder: Folder) -> None:
    base, new = folder("base", *seeds()), folder("new", *seeds(train=42.0))
    quantities = {q.name: Spread(between_sd=0.01, within_sd=0.01, between_df=9, within_df=90, cells=11) for q in NOISY}
    known = Noise(
        bench_version="0.1.0", profile="cpu", machine=MachineKind(cpu_model="A CPU", cpu_cores=2), repeats=10, cells=11,
        quantities=quantities,
    )  # fmt: skip
    without = bench("compare", base, new)
    assert (without.code, "is not known" in without.out) == (0, True)  # 16 % is below the cautious 20 %
    (base / "noise.json").write_text(known.to_json(), encoding="utf-8")
    beside = bench("compare", base, new)
    assert (beside.code, "10 runs of 11 cells" in beside.out) == (1, True)
    other = base.parent / "other.json"
    other.write_text(known.model_copy(update={"repeats": 3}).to_json(), encoding="utf-8")
    assert "3 runs of 11 cells" in bench("compare", base, new, "--noise", other).out
    (base / "noise.json").write_text("{", encoding="utf-8")
    assert bench("compare", base, new).code == 2


def test_a_damaged_record_is_left_out_aloud(bench: Bench, folder: Folder) -> None:
    base, new = folder("base", *seeds()), folder("new", *seeds())
    (new / "records" / "0000.json").write_text("{", encoding="utf-8")
    done = bench("compare", base, new)
    assert done.code == 0
    assert "Left out: " in done.err


def test_noise_needs_a_folder_and_two_runs(bench: Bench, tmp_path: Path) -> None:
    assert "--results" in bench("noise").err
    done = bench("noise", "--results", tmp_path / "x", "--repeats", "1")
    assert done.code == 2
    wrong = bench("noise", "--results", tmp_path / "x", "--suite", "nowhere")
    assert (wrong.code, wrong.err.startswith("Error: There is no suite 'nowhere'")) == (2, True)
    assert not (tmp_path / "x").exists()


@pytest.fixture
def grids(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grids as `noise` asks for them, each answered with three cells a little faster than those before."""
    asked: list[Any] = []

    def answer(planned: Any, request: Any, console: Any) -> RunResult:
        asked.append(request)
        cells = [measured("a", seed, train=50.0 + len(asked)) for seed in range(3)]
        if os.environ.get("TINY_FAILS") == str(len(asked)):
            cells[0] = failed("a", 0, "oom")
        return RunResult({record.id: record for record in cells}, os.environ.get("TINY_STOPS") == str(len(asked)))

    monkeypatch.setattr(session, "prepare", lambda requests, console: None)
    monkeypatch.setattr(session, "execute", answer)
    monkeypatch.setattr(session, "write_tables", lambda results, console: None)
    return asked


def test_noise_runs_the_grid_again_and_again_into_folders_of_their_own(
    bench: Bench, grids: list[Any], tmp_path: Path
) -> None:
    done = bench("noise", "--results", tmp_path, "--repeats", "3", "--suite", "ci", "--seeds", "3")
    assert done.code == 0
    assert [request.results for request in grids] == [tmp_path / f"run-{at}" for at in (1, 2, 3)]
    assert {request.suite.name for request in grids} == {"ci"}
    assert not any(request.options.force for request in grids)  # what is finished is kept
    found = noise.load(tmp_path / "noise.json")
    assert (found.repeats, found.cells) == (3, 3)
    assert re.search(r"train_examples_per_second +1.9 % +0.0 %", done.out)
    assert "3 runs of 3 cells on A CPU, 2 cores, profile cpu" in done.out


def test_noise_leaves_a_failed_cell_out_and_says_so(
    bench: Bench, grids: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_FAILS", "2")
    done = bench("noise", "--results", tmp_path, "--repeats", "3", "--json")
    assert done.code == 1
    assert json.loads(done.out)["cells"] == 2
    assert "Failed, and left out: a on sms-spam, seed 0" in done.err


def test_an_interrupted_noise_run_writes_no_noise(
    bench: Bench, grids: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_STOPS", "2")
    done = bench("noise", "--results", tmp_path, "--repeats", "3")
    assert (done.code, len(grids)) == (130, 2)
    assert not (tmp_path / "noise.json").exists()
