"""A grid before it is run: rows, what fits, how long it takes, and the cells that a run then leaves out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_grid
from commandline import Bench
from tiny_grid import TinyGrid

from bench import profiles
from bench.forecast import memory
from bench.forecast.lengths import Lengths
from bench.forecast.memory import WORKER_MIB, Memory
from bench.forecast.seconds import CELL_SECONDS, STEP_SECONDS, rate
from bench.forecast.step import Step
from bench.profiles import Machine
from bench.profiles.probe import Gpu
from bench.train.model import load_tokenizer

MIB = 2**20
CPU, GPU = profiles.load("cpu-2core"), profiles.load("gpu-24gb")
STEP = Step(flops=10**9, eval_flops=3 * 10**8, tokens=64, model_bytes=100 * MIB, growth_bytes=300 * MIB,
            trained_bytes=10 * MIB, adapter_bytes=1000, example_feature_bytes=1000, token_feature_bytes=7)  # fmt: skip


def machine(memory_mib: int = 8000, gpus: tuple[Gpu, ...] = ()) -> Machine:
    return Machine(cpu_model="a CPU", cpu_cores_allowed=2, cpu_cores_total=2, cpu_capabilities=(),
                   memory_total_mib=memory_mib, memory_limit_mib=None, os="Linux", kernel="6", machine="x86_64",
                   gpus=gpus)  # fmt: skip


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("tiny"))


def with_memory(grid: TinyGrid, mib: int, folder: Path) -> Path:
    path = folder / "small.toml"
    text = grid.profile.read_text().replace("tiny-cpu", "small-cpu")
    path.write_text(f"{text}memory_mib = {mib}\ngflops = 2.0\n")
    return path


def test_memory_is_declared_or_this_machines_or_the_least_that_the_profile_needs() -> None:
    declared = CPU.model_copy(update={"memory_mib": 900})
    assert memory.available(declared, machine()) == Memory(900, "the profile cpu-2core")
    assert memory.available(CPU, machine(8000)) == Memory(8000, "this machine")
    assert memory.available(CPU, machine(3000)) == Memory(4000, "the profile cpu-2core")
    assert memory.available(GPU, machine()) == Memory(22_000, "the profile gpu-24gb")
    card = Gpu(name="a card", memory_mib=24_000, capability="8.9", driver=None, cuda=None)
    assert memory.available(GPU, machine(16_000, (card,))) == Memory(24_000, "this machine")
    assert memory.available(CPU.with_workers(2), machine(8000)).mib == 4000


def test_the_memory_of_any_gpu_is_unknown_without_one_and_fits_nothing_nor_refuses_it() -> None:
    any_gpu = profiles.load("gpu")
    unknown = memory.available(any_gpu, machine())
    assert unknown.mib is None
    assert memory.unfit(400, any_gpu, unknown) is None
    card = Gpu(name="a card", memory_mib=300, capability="6.1", driver=None, cuda=None)
    assert memory.unfit(400, any_gpu, memory.available(any_gpu, machine(gpus=(card,)))) is not None


def test_the_best_point_is_alive_in_steps_and_cached_features_after_they_were_computed() -> None:
    at, many = Lengths(20, np.array([4, 6]), 10**6, None), Lengths(20, None, 10**7, None)
    assert STEP.train_growth(Lengths(20, None, 100, None), keeps_best=True) == 300 * MIB  # computing them takes more
    assert STEP.train_growth(at, keeps_best=False) == 10**6 * (1000 + 5 * 7)
    assert STEP.train_growth(many, keeps_best=True) == 310 * MIB  # too many: nothing is cached
    trains_more = replace(STEP, example_feature_bytes=0, token_feature_bytes=0)
    assert trains_more.train_growth(at, keeps_best=True) == 310 * MIB


def test_what_does_not_fit_is_said_in_a_sentence() -> None:
    assert memory.unfit(400, GPU, Memory(400, "the profile x")) is None
    assert memory.unfit(400, GPU, Memory(399, "the profile x")) == (
        "training is predicted to need 400 MiB, and the profile x has 399 MiB."
    )
    assert memory.unfit(400, CPU, Memory(400 + WORKER_MIB, "this machine")) is None
    assert memory.unfit(400, CPU.with_workers(2), Memory(399 + WORKER_MIB, "this machine")) == (
        f"training is predicted to need {400 + WORKER_MIB} MiB with its libraries, and this machine has "
        f"{399 + WORKER_MIB} MiB for each of 2 workers."
    )


def test_a_rate_is_declared_or_measured_here_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.forecast.seconds.matmul_gflops", lambda device: 50.0)
    here, small, declared = rate(CPU, machine()), rate(CPU, machine(1000)), rate(GPU, machine())
    assert here is not None
    assert (here.flops, here.source) == (2 * 50e9, "measured rate")  # of two threads
    assert small is None
    assert declared is not None
    assert declared.source == "declared rate"
    assert rate(CPU.model_copy(update={"dtype": "bfloat16"}), machine()) is None


def rows(bench: Bench, *arguments: object) -> list[dict[str, Any]]:
    done = bench("plan", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def options(grid: TinyGrid, profile: Path | str, results: Path) -> list[object]:
    return ["--suite", grid.suite, "--profile", profile, "--results", results, *grid.plugins]


def test_a_row_has_all_that_is_predicted(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    profile = with_memory(grid, 8000, tmp_path)
    (row,) = rows(bench, *options(grid, profile, tmp_path), "--methods", "steady", "--seeds", "4")
    assert row["status"] == "ok"
    assert (row["fits"], row["available_memory_mib"], row["n_seeds"]) == (True, 8000, 4)
    assert (row["profile"], row["preset"]) == ("small-cpu", "tiny-suite")
    # Seven words and two special tokens or fewer: the longest of the file, in batches of four.
    assert row["batch_tokens_from"] == "data"
    assert row["batch_examples"] == 4
    assert row["batch_tokens"] % 4 == 0
    assert row["batch_tokens"] < 4 * 16
    assert row["train_steps"] == 6 * 3  # 24 examples, three epochs
    assert row["predicted_seconds_from"] == "declared rate"
    computing = row["predicted_seconds"] - CELL_SECONDS - 18 * STEP_SECONDS
    assert 0 < computing * 2e9 <= (18 + 3 * 2 + 4) * row["train_step_flops"]  # steps, validations, test
    assert row["predicted_adapter_bytes"] > 0
    total = row["predicted_model_mib"] + row["predicted_train_growth_mib"]
    assert row["predicted_peak_train_memory_mib"] == pytest.approx(total)
    assert (row["recipe"]["epochs"], row["recipe_sources"]["epochs"]) == (3, "suite tiny-suite")
    assert (row["max_length"], row["cut_examples_percent"], row["cut_content_percent"]) == (16, 0, 0)


def test_a_line_tells_the_settings_that_are_not_the_methods_own(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runner.forecasting.local", lambda source, mirror: None)
    monkeypatch.setattr("bench.runner.forecasting.predict", lambda *more: STEP)
    options = ("--preset", "standard", "--tasks", "sms-spam,us-address", "--methods", "pasta", "--results", tmp_path)
    lines = bench("plan", *options).err.splitlines()
    at = lines.index("Recipes, where they are not the method's own (--json has all settings):")
    assert lines[at + 1] == (
        "  pasta: learning_rate, epochs 4.0, min_steps 250, dropout (methods/recipes/pasta.json); masks 16-bit (device)"
    )


def test_without_data_a_row_is_of_the_longest_input_of_the_task(
    bench: Bench, grid: TinyGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runner.forecasting.local", lambda source, mirror: None)
    profile = with_memory(grid, 8000, tmp_path)
    (row,) = rows(bench, *options(grid, profile, tmp_path), "--methods", "steady")
    assert (row["batch_tokens"], row["batch_tokens_from"]) == (4 * 16, "max_length")
    assert row["train_steps"] is None  # the suite takes all examples, whose number is not known
    assert row["predicted_seconds"] is None


def test_what_is_cut_is_a_note_and_in_the_rows(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    """At 8 tokens six pieces of a text are left beside [CLS] and [SEP]."""
    task = grid.folder / "tiny_task.py"
    short = tmp_path / "short_task.py"
    short.write_text(task.read_text().replace('"tiny"', '"brief"').replace("max_length = 16", "max_length = 8"))
    options = [
        "--suite",
        grid.suite,
        "--tasks",
        "brief",
        "--methods",
        "steady",
        "--plugin",
        short,
        "--results",
        tmp_path,
        *grid.plugins,
    ]
    (row,) = rows(bench, *options)
    tokenizer, texts = load_tokenizer(grid.model), []
    for line in (grid.folder / "tiny.tsv").read_text().splitlines():
        split, _, text = line.split("\t")
        if split == "train":
            texts.append(len(tokenizer.tokenize(text)))
    assert sum(count > 6 for count in texts) > 0
    assert row["max_length"] == 8
    assert row["cut_examples_percent"] == pytest.approx(sum(count > 6 for count in texts) / len(texts) * 100)
    assert row["cut_content_percent"] == pytest.approx(sum(max(count - 6, 0) for count in texts) / sum(texts) * 100)
    said = bench("plan", *options).err
    assert f"brief: inputs are cut at 8 tokens (train {row['cut_examples_percent'] / 100:.1%} of examples, " in said


def test_the_profile_may_be_of_another_machine(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    found = rows(bench, *options(grid, "gpu-24gb", tmp_path), "--methods", "steady")
    assert found[0]["fits"] is True
    assert found[0]["available_memory_of"] == "the profile gpu-24gb"
    compiled = tmp_path / "any.toml"
    text = (Path(profiles.__file__).parent / "gpu.toml").read_text().replace('name = "gpu"', 'name = "mine"')
    compiled.write_text(f"{text}compile = true\ngradient_checkpointing = true\n")
    (unknown,) = rows(bench, *options(grid, str(compiled), tmp_path), "--methods", "steady")
    assert (unknown["status"], unknown["fits"], unknown["available_memory_mib"]) == ("ok", None, None)
    said = bench("plan", *options(grid, str(compiled), tmp_path), "--methods", "steady").err
    assert "Profile mine: unknown memory" in said
    assert "memory is predicted as if it did not" in said


def test_what_does_not_fit_is_marked_in_a_plan_and_skipped_by_a_run(
    bench: Bench, grid: TinyGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runner.forecasting.predict", lambda *more: STEP)
    profile, results = with_memory(grid, 50, tmp_path), tmp_path / "results"
    done = bench("plan", *options(grid, profile, results), "--methods", "steady,chatty")
    assert done.code == 0
    assert [line.split()[-1] for line in done.out.splitlines()[2:]] == ["NO", "NO"]
    assert "and the profile small-cpu has 50 MiB." in " ".join(done.err.split())
    run = ["run", *options(grid, profile, results), "--methods", "steady"]
    assert "will not fit" in bench(*run, "--skip-unfit", "--dry-run").out
    assert not (results / "records").exists()
    done = bench(*run, "--skip-unfit", "--json")
    assert done.code == 0, done.err
    (found,) = tiny_grid.records(results).values()
    assert found["status"] == "skipped"
    assert found["reason"].startswith("training is predicted to need ")
    assert json.loads(done.out)[0]["status"] == "1 skipped"
    assert "to run" in bench(*run, "--dry-run").out  # it was skipped, not finished
    roomy = options(grid, with_memory(grid, 8000, tmp_path), results)
    assert "to run" in bench("run", *roomy, "--methods", "steady", "--skip-unfit", "--dry-run").out
