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


@pytest.mark.parametrize(
    ("new", "code", "shown"),
    [
        (seeds(), 0, "7 figures of 1 rows: 0 regressions"),
        (seeds(**WORSE), 1, "WORSE  a on sms-spam  bytes"),
        (
            [failed("a", s, "timeout") for s in range(3)],
            1,
            "REGRESSION: a on sms-spam: succeeded before, now 3 timeout",
        ),
    ],
)
def test_exit_codes(new: list[Record], code: int, shown: str, bench: Bench, folder: Folder) -> None:
    base, after = folder("base", *seeds()), folder("new", *new)
    done = bench("compare", base, after)
    assert (done.code, done.err) == (code, "")
    assert shown in done.out
    (after / "records" / "0000.json").write_text("{", encoding="utf-8")
    done = bench("compare", base, after)
    assert done.code == code
    assert "Left out: " in done.err


def test_nothing_comparable(bench: Bench, folder: Folder, tmp_path: Path) -> None:
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
    assert "--across-profiles compares" in " ".join(bench("compare", other, new).out.split())
    assert bench("compare", other, new, "--across-profiles").code == 0


def test_a_retrained_checkpoint_is_judged_against_the_one_before(bench: Bench, folder: Folder) -> None:
    named = [{"model": f"model@{digits}", "model_revision": f"tree-sha256:{digits}"} for digits in ("aaaa", "bbbb")]
    base, worse = folder("base", *seeds(of=named[0])), folder("worse", *seeds(trainable=12, of=named[1]))
    assert bench("compare", base, worse).code == 3
    done = bench("compare", base, worse, "--across-models")
    assert done.code == 1
    assert "WORSE" in done.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--threshold", "socre=0.1"], "There is no measure 'socre' to set a threshold for; did you mean 'score'?"),
        *(
            (["--threshold", wrong], f"--threshold '{wrong}' is not NAME=VALUE")
            for wrong in ("score", "score=much", "score=-1", "score=nan", "score=inf")
        ),
        (["--threshold", "score=2%"], "a score's threshold is not a share"),
        (["--noise", "nowhere.json"], "nowhere.json cannot be read"),
        (["nowhere"], "There is no results folder nowhere; `python -m bench run` makes one."),
        (["--junit", "/proc/nowhere/x.xml"], "/proc/nowhere/x.xml cannot be written"),
    ],
)
def test_wrong_use_is_one_sentence(arguments: list[str], reason: str, bench: Bench, folder: Folder) -> None:
    new = [] if arguments == ["nowhere"] else [folder("new", *seeds())]
    done = bench("compare", folder("base", *seeds()), *new, *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1


def test_given_thresholds(bench: Bench, folder: Folder) -> None:
    base, new = folder("base", *seeds()), folder("new", *seeds(adapter_bytes=1040, trainable=11))
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
    done = bench("compare", tmp_path / "nowhere", tmp_path / "new", *wanted, "--json")
    assert done.code == 3
    assert json.loads(done.out)["verdict"] == "nothing comparable"
    assert "nothing comparable" in files["--markdown"].read_text(encoding="utf-8")


def test_the_noise_is_that_of_the_option_or_beside_the_base(bench: Bench, folder: Folder, tmp_path: Path) -> None:
    base, new = folder("base", *seeds()), folder("new", *seeds(train=42.0))
    spread = Spread(between_sd=0.01, within_sd=0.01, between_df=9, within_df=90, cells=11)
    known = Noise(
        bench_version="0.1.0", profile="cpu", machine=MachineKind(cpu_model="A CPU", cpu_cores=2), repeats=10, cells=11,
        quantities={measure.name: spread for measure in NOISY},
    )  # fmt: skip
    without = bench("compare", base, new)
    assert (without.code, "is not known" in without.out) == (0, True)  # 16 % is below the cautious 20 %
    (base / "noise.json").write_text(known.to_json(), encoding="utf-8")
    beside = bench("compare", base, new)
    assert (beside.code, "10 runs of 11 cells" in beside.out) == (1, True)
    (tmp_path / "other.json").write_text(known.model_copy(update={"repeats": 3}).to_json(), encoding="utf-8")
    assert "3 runs of 11 cells" in bench("compare", base, new, "--noise", tmp_path / "other.json").out
    (base / "noise.json").write_text("{", encoding="utf-8")
    assert bench("compare", base, new).code == 2


# `noise`


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [([], "--results"), (["--repeats", "1"], "--repeats"), (["--suite", "nowhere"], "There is no suite 'nowhere'")],
)
def test_wrong_use_of_noise(arguments: list[str], reason: str, bench: Bench, tmp_path: Path) -> None:
    done = bench("noise", *(["--results", tmp_path / "x", *arguments] if arguments else []))
    assert done.code == 2
    assert reason in done.err
    assert not (tmp_path / "x").exists()


@pytest.fixture
def grids(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Requests of grids, each answered with three cells a little faster than those before."""
    requests: list[Any] = []

    def answer(planned: Any, request: Any, console: Any) -> RunResult:
        requests.append(request)
        cells = [measured("a", seed, train=50.0 + len(requests)) for seed in range(3)]
        if os.environ.get("TINY_FAILS") == str(len(requests)):
            cells[0] = failed("a", 0, "oom")
        return RunResult({record.id: record for record in cells}, os.environ.get("TINY_STOPS") == str(len(requests)))

    monkeypatch.setattr(session, "prepare", lambda requests, console: None)
    monkeypatch.setattr(session, "execute", answer)
    monkeypatch.setattr(session, "write_tables", lambda results, console: None)
    return requests


def test_noise_runs_the_grid_several_times(bench: Bench, grids: list[Any], tmp_path: Path) -> None:
    done = bench("noise", "--results", tmp_path, "--repeats", "3", "--suite", "ci", "--seeds", "3")
    assert done.code == 0
    assert [request.results for request in grids] == [tmp_path / f"run-{at}" for at in (1, 2, 3)]
    assert {request.suite.name for request in grids} == {"ci"}
    assert not any(request.options.force for request in grids)  # what is finished is kept
    found = noise.load(tmp_path / "noise.json")
    assert (found.repeats, found.cells) == (3, 3)
    assert re.search(r"train_examples_per_second +1.9 % +0.0 %", done.out)
    assert "3 runs of 3 cells on A CPU, 2 cores, profile cpu" in done.out


def test_noise_leaves_failed_cells_out_and_an_interrupted_run_writes_nothing(
    bench: Bench, grids: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_FAILS", "2")
    done = bench("noise", "--results", tmp_path, "--repeats", "3", "--json")
    assert done.code == 1
    assert json.loads(done.out)["cells"] == 2
    assert "Failed, and left out: a on sms-spam, seed 0" in done.err
    monkeypatch.setenv("TINY_STOPS", "5")
    done = bench("noise", "--results", tmp_path / "other", "--repeats", "3")
    assert (done.code, len(grids)) == (130, 5)
    assert not (tmp_path / "other" / "noise.json").exists()
