"""The compared loops train the same thing from the same start, and are timed alike."""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_setting
import torch
import training_loops
from contenders import BATCH, CONTENDERS, Prepared, Setting
from pasta_reference import vectors_of
from torch import nn


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return tiny_setting.write(tmp_path_factory.mktemp("setting"))


@pytest.fixture(scope="module")
def setting(options: dict[str, str]) -> Setting:
    plugin = Path(options["--plugin"])
    return Setting(Path(options["--model"]), "short", plugin, (plugin,))


def prepared(setting: Setting, name: str, data: Any, epochs: float = 1) -> Prepared:
    contender = CONTENDERS[name]
    return contender.prepare(setting, data, setting.recipe(contender.method, epochs), 3)


# All batches are the same one, so order does not matter. Schedules differ from the second step on.
@pytest.mark.parametrize(
    ("ours", "theirs", "steps"),
    [("lora", "trainer", 2), ("lora", "trainer-grouped", 2), ("lora", "trainer-grouped-large", 2),
     ("lora", "peft-loop", 1), ("pasta", "pasta-reference", 2)],
)  # fmt: skip
def test_loops_have_the_same_losses(setting: Setting, ours: str, theirs: str, steps: int) -> None:
    data = setting.sample(BATCH, 0)
    mine, other = prepared(setting, ours, data, steps), prepared(setting, theirs, data, steps)
    if ours == "pasta":
        vectors: Any = mine.module.base_model.pasta.adapter("default").vectors  # type: ignore[union-attr]
        with torch.no_grad():
            for copy, original in zip(vectors_of(other.module), vectors, strict=True):
                copy.copy_(original)
    loss = mine.train()
    assert loss == pytest.approx(other.train(), rel=1e-4)
    if steps > 1:
        assert loss < prepared(setting, ours, data, 1).train() - 0.001  # the step has changed something


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_training_call_sees_every_example_once(setting: Setting, name: str) -> None:
    data = setting.sample(160, 0)
    contender = prepared(setting, name, data)
    before = {key: value.detach().clone() for key, value in contender.module.named_parameters()}
    seen: list[int] = []
    contender.module.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(int(inputs["attention_mask"].sum())), with_kwargs=True
    )
    found = training_loops.run(contender, len(data))
    assert found.examples_per_second > 0
    assert len(seen) >= 160 / BATCH  # this project's loop computes a batch in parts
    assert sum(seen) == data.lengths.sum()
    moved = {key for key, value in contender.module.named_parameters() if not torch.equal(value, before[key])}
    assert moved
    assert ("bert.embeddings.word_embeddings.weight" in moved) == (name == "full")
    assert not torch.are_deterministic_algorithms_enabled()


def test_grouped_trainers_pad_less(setting: Setting) -> None:
    whole = setting.sample(192, 0)
    # Short and long in turns, so that what comes together by chance is padded.
    cut = {key: [row[:: 1 + 4 * (at % 2)] for at, row in enumerate(rows)] for key, rows in whole.inputs.items()}
    data = dataclasses.replace(whole, inputs=cut)
    padded = {}
    for name in ("trainer", "trainer-grouped", "trainer-grouped-large"):
        contender = prepared(setting, name, data)
        sizes: list[int] = []
        contender.module.register_forward_pre_hook(
            lambda module, args, inputs, sizes=sizes: sizes.append(inputs["input_ids"].numel()), with_kwargs=True
        )
        contender.train()
        padded[name] = sum(sizes)
    longest_first = sorted(data.lengths, reverse=True)
    assert padded["trainer-grouped-large"] == sum(BATCH * longest_first[at] for at in range(0, 192, BATCH))
    assert padded["trainer-grouped-large"] < padded["trainer-grouped"] <= padded["trainer"]


def test_throughput_counts_from_the_third_step_to_the_end_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([3.0, 4.0, 5.0, 6.0, 7.0, 9.5])  # the ends of five steps, and of the call
    monkeypatch.setattr(training_loops.time, "perf_counter", lambda: next(clock))

    class Sum(nn.Module):
        def forward(self, attention_mask: torch.Tensor) -> torch.Tensor:
            return attention_mask.sum()

    module = Sum()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))])

    def call() -> float:
        for tokens in (90, 60, 30, 20, 20):
            module(attention_mask=torch.ones(tokens))
            optimizer.step()
        return 0.5

    # 40 tokens in 4.5 s, and 22 tokens an example.
    assert training_loops.run(Prepared(module, call), examples=10) == (pytest.approx(40 / 4.5 / 22), 0.5, None)


def test_a_ratio_is_taken_within_each_round() -> None:
    first, second = ([training_loops.Run(rate, 0) for rate in rates] for rates in ((4.0, 9.0, 8.0), (2.0, 3.0, 2.0)))
    found = training_loops.ratio("a / b", training_loops.quotients(first, second))
    assert (found["rounds"], found["median"]) == ([2.0, 3.0, 4.0], 3.0)
    # ln 2, ln 3, ln 4: mean 1.05935, sample standard deviation 0.34824; Student's t for 2 degrees is 4.30265.
    half = 4.30265 * 0.34824 / math.sqrt(3)
    interval = math.exp(1.05935 - half), math.exp(1.05935 + half)
    assert (found["ci95_low"], found["ci95_high"]) == pytest.approx(interval, rel=1e-4)
    assert training_loops.ratio("a / b", [2.0])["ci95_low"] is None


def test_products_and_flops_a_token_by_hand(setting: Setting) -> None:
    """PASTA's backward pass computes no gradient of a weight: twice the products of the forward pass, and attention."""
    data = setting.sample(64, 0)
    module = prepared(setting, "pasta", data).module
    assert training_loops.product_rate(module, data) > 1e6
    weights = sum(p.numel() for name, p in module.named_parameters() if "encoder.layer" in name and p.dim() == 2)
    assert 4 * weights < training_loops.flops_per_token(module, data) < 5.5 * weights
    assert all(p.grad is None for p in module.parameters())


@pytest.fixture
def command(options: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*more: object) -> str:
        chosen = [word for option in options.items() for word in option]
        monkeypatch.setattr(sys, "argv", ["training_loops", *chosen, "--threads", "1", *map(str, more)])
        training_loops.main()
        return capsys.readouterr().out

    return call


@pytest.mark.slow
def test_the_command_measures_in_rounds(command: Any) -> None:
    found = json.loads(command("--methods", "pasta", "--rounds", 2, "--examples", 140, "--json"))
    assert found["examples_per_round"] == 128  # whole batches
    speeds = {each["name"]: each["examples_per_second"] for each in found["contenders"]}
    assert list(speeds) == ["pasta", "full", "pasta-reference"]
    ratios = {each["ratio"]: each["rounds"] for each in found["ratios"]}
    beside = ["pasta / full", "pasta / pasta-reference", "pasta / pasta-reference, one batch"]
    assert list(ratios) == [*beside, "pasta / rate of matrix products"]
    assert ratios["pasta / full"] == pytest.approx(
        [ours / theirs for ours, theirs in zip(speeds["pasta"], speeds["full"], strict=True)]
    )


@pytest.mark.slow
def test_the_command_compares_scores(command: Any) -> None:
    found = json.loads(command("--scores", "--rounds", 2, "--examples", 64, "--json"))
    assert [each["name"] for each in found["loops"]] == ["lora", "trainer", "trainer-grouped"]
    means = [sum(each["scores"]) / 2 for each in found["loops"]]
    for mean, each in zip(means[1:], found["loops"][1:], strict=True):
        assert each["difference"] == pytest.approx(means[0] - mean)


@pytest.mark.parametrize(
    ("options_given", "sentence"),
    [
        (("--methods", "lorra"), "--methods takes pasta and lora, not lorra"),
        (("--examples", "100"), "--examples must be 128 or more"),
        (("--task", "us-address", "--scores"), "us-address is a token-classification task"),
    ],
)
def test_wrong_options_are_one_sentence(
    command: Any, capsys: pytest.CaptureFixture[str], options_given: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(SystemExit):
        command(*options_given)
    assert sentence in capsys.readouterr().err
