"""`python -m bench speed`, on a tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_speed
from commandline import Bench

from bench.speed.catalogue import CONTENDERS
from bench.speed.setting import Files
from bench.speed.suite import PARTS


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return tiny_speed.write(tmp_path_factory.mktemp("speed"))


@pytest.fixture
def speed(bench: Bench, files: Files) -> Any:
    def call(*options: object) -> Any:
        plugin = ("--plugin", files.plugins[0], "--task", files.task)
        # Tiny matrices gain nothing from threads, which on a busy machine wait for each other.
        return bench("speed", "--model", files.model, "--threads", 1, *plugin, *options)

    return call


@pytest.mark.slow
def test_everything_is_measured_and_answered(speed: Any, tmp_path: Path) -> None:
    done = speed("--rounds", 2, "--examples", 140, "--out", tmp_path / "speed.json", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert json.loads((tmp_path / "speed.json").read_text(encoding="utf-8")) == found
    assert found["examples_per_round"] == 128  # whole batches
    assert [each["name"] for each in found["contenders"]] == [name for name in CONTENDERS if name != "head"]
    assert all(len(each["examples_per_second"]) == 2 for each in found["contenders"])
    by_key = {answer["key"]: answer for answer in found["answers"]}
    assert len(by_key) == 10
    speeds = {each["name"]: each["examples_per_second"] for each in found["contenders"]}
    wanted = [a / b for a, b in zip(speeds["lora"], speeds["trainer"], strict=True)]
    assert by_key["lora_over_trainer"]["ratios"] == pytest.approx(wanted)
    products, tokens = found["products"], found["contenders"][list(CONTENDERS).index("pasta")]["tokens_per_second"]
    work = products["pasta_layers_flop_per_token"]
    shares = [t * work / 1e9 / rate for t, rate in zip(tokens, products["gflop_per_second"], strict=True)]
    assert by_key["pasta_of_product_rate"]["ratios"] == pytest.approx(shares)
    memory = found["memory"]
    assert by_key["pasta_memory_of_full"]["ratios"] == pytest.approx(
        [memory["pasta_growth_mib"] / memory["full_growth_mib"]]
    )
    assert f"[{2 * (8 + 1 + 2) + 2}/" in done.err


@pytest.mark.slow
def test_parts_alone_and_a_table(speed: Any) -> None:
    done = speed("--rounds", 1, "--examples", 128, "--only", "pasta,full")
    assert done.code == 0, done.err
    assert "PASTA over full fine-tuning" in done.out
    assert ">= 1.40 x" in done.out
    assert "Trainer" not in done.out
    assert "1 round of 128 examples" in done.out


@pytest.mark.slow
def test_scores_of_the_loops(speed: Any) -> None:
    done = speed("--scores", "--seeds", "2", "--examples", 64, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [each["name"] for each in found["loops"]] == ["lora", "trainer", "trainer-grouped"]
    assert all(each["scores"].keys() == {"0", "1"} for each in found["loops"])
    mean = {each["name"]: sum(each["scores"].values()) / 2 for each in found["loops"]}
    for each in found["differences"]:
        assert each["difference"] == pytest.approx(mean["lora"] - mean[each["second"]])
        assert each["n_examples"] == 40


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--only", "lorra"), "did you mean 'lora'"),
        (("--only", ","), "There is nothing|names nothing"),
        (("--examples", "100"), "at least 128 are needed"),
        (("--examples", "5000"), "more than the 200 training examples"),
        (("--seeds", "3"), "--seeds is for --scores"),
        (("--scores", "--rounds", "2"), "it is --seeds that says how often"),
        (("--scores", "--only", "lora"), "--scores always compares"),
        (("--scores", "--examples", "3"), "too few"),
        (("--scores", "--seeds", "x"), "neither a count"),
        (("--task", "us-address"), "token-classification"),
        (("--task", "shorter"), "There is no task"),
    ],
)
def test_what_does_not_do_is_one_sentence(speed: Any, options: tuple[str, ...], sentence: str) -> None:
    done = speed(*options)
    assert done.code == 2
    import re

    assert re.search(sentence, done.err)
    assert "Traceback" not in done.err


def test_the_help_names_every_part(bench: Bench) -> None:
    done = bench("speed", "--help")
    assert done.code == 0
    assert all(part in done.out for part in PARTS)
