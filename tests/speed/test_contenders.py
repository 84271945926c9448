"""The contenders train the same thing from the same start, and say truly what they did."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import tiny_speed
import torch

from bench.speed.catalogue import CONTENDERS
from bench.speed.contender import run
from bench.speed.hf_trainer import stock_model
from bench.speed.peft_loop import bucketed
from bench.speed.setting import BATCH, Setting, columns
from bench.train.data import Ragged

LORAS = ("trainer", "trainer-grouped", "trainer-grouped-large", "peft-loop")


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tiny_speed.write(tmp_path_factory.mktemp("speed")))


def trained(module: Any) -> dict[str, torch.Tensor]:
    """What requires a gradient, by this project's names: PEFT's own model puts words of its own around them."""
    found = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            name = name.removeprefix("base_model.model.")
            found[name.replace(".modules_to_save.default", "")] = parameter.detach().clone()
    return found


@pytest.mark.parametrize("name", LORAS)
def test_lora_is_the_same_parameters_from_the_same_start(setting: Setting, name: str) -> None:
    ours = trained(CONTENDERS["lora"].make(setting, 3).module)
    theirs = trained(CONTENDERS[name].make(setting, 3).module)
    assert theirs.keys() == ours.keys()
    assert len(ours) == 3 * 2 * 2 + 2  # layers x (query, value) x (A, B), and the classifier's matrix and bias
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_training_call_sees_every_example_once(setting: Setting, name: str) -> None:
    data = setting.sample(160, 0)
    contender = CONTENDERS[name].make(setting, 0)
    before = trained(contender.module)
    found = run(contender, data, setting.recipe(CONTENDERS[name].method), 0)
    assert len(found.tokens) == len(found.marks) == 160 / BATCH
    assert sum(found.tokens) == data.lengths.sum()
    assert found.started < found.marks[0] < found.marks[-1] <= found.ended
    after = trained(contender.module)
    assert any(not torch.equal(after[key], before[key]) for key in before)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", ["pasta", "pasta-reference"])
def test_steps_on_one_batch_are_all_on_that_batch(setting: Setting, name: str) -> None:
    data = setting.sample(BATCH, 0)
    found = run(CONTENDERS[name].make(setting, 0), data, setting.recipe("pasta", epochs=5), 0)
    assert found.tokens == (data.lengths.sum(),) * 5
    assert len(found.epoch_seconds()) == 5


def test_grouped_trainers_pad_less(setting: Setting) -> None:
    whole, recipe = setting.sample(192, 0), setting.recipe("lora")
    # Short and long in turns, so that what comes together by chance is padded.
    cut = {key: [row[:: 1 + 4 * (at % 2)] for at, row in enumerate(rows)] for key, rows in whole.inputs.items()}
    data = dataclasses.replace(whole, inputs={key: Ragged.of(rows) for key, rows in cut.items()})
    padded = {}
    for name in LORAS[:3]:
        contender = CONTENDERS[name].make(setting, 0)
        sizes: list[int] = []
        contender.module.register_forward_pre_hook(
            lambda module, args, kwargs, sizes=sizes: sizes.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
        contender.prepare(data, recipe, 0)()
        padded[name] = sum(sizes)
    grouped = sorted_padding(data.lengths)
    assert padded["trainer-grouped-large"] == grouped < padded["trainer-grouped"] <= padded["trainer"]


def sorted_padding(lengths: Any) -> int:
    """Tokens with padding in batches of 32 of all examples in the order of their length."""
    ordered = sorted(lengths, reverse=True)
    return sum(32 * ordered[at] for at in range(0, len(ordered), 32))


def test_a_stock_model_is_the_pretrained_one(setting: Setting) -> None:
    from bench.train.model import load_model

    stock, ours = stock_model(setting, 0), load_model(setting.files.model, "classification", 3)
    for name, tensor in ours.bert.state_dict().items():
        assert torch.equal(stock.bert.state_dict()[name], tensor), name


def test_the_reference_leaves_the_backbone_as_it_is(setting: Setting) -> None:
    contender = CONTENDERS["pasta-reference"].make(setting, 0)
    query = contender.module.bert.encoder.layer[0].attention.self.query.weight  # type: ignore[union-attr, index]
    before = query.detach().clone()
    contender.prepare(setting.sample(96, 0), setting.recipe("pasta"), 0)()
    assert torch.equal(query, before)
    assert query.grad.abs().sum() > 0


def test_buckets_go_from_long_to_short() -> None:
    from datasets import Dataset

    dataset = Dataset.from_dict({"input_ids": [[1], [1, 2, 3], [1, 2], [9, 9]], "labels": [0, 1, 2, 3]})
    batches = [batch["labels"] for batch in bucketed(dataset, 1, factor=3)]
    assert batches == [[1], [2], [0], [3]]


def test_columns_are_lists_of_every_example(setting: Setting) -> None:
    data = setting.sample(5, 0)
    found = columns(data)
    assert found["labels"] == data.references
    assert [len(ids) for ids in found["input_ids"]] == data.lengths.tolist()


def test_a_sample_is_drawn_by_its_seed_without_replacement(setting: Setting) -> None:
    first, again, other = (setting.sample(50, seed) for seed in (1, 1, 2))
    texts = [[row.tolist() for row in each.inputs["input_ids"]] for each in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]
    whole = setting.sample(tiny_speed.EXAMPLES, 0)
    assert whole.lengths.sum() == setting.encoded(setting.splits["train"]).lengths.sum()


def test_pairs_are_compared_too(tmp_path: Path) -> None:
    pairs = Setting(tiny_speed.write(tmp_path, pair=True))
    data = pairs.sample(128, 0)
    for name in ("pasta", "pasta-reference", "trainer"):
        done = run(CONTENDERS[name].make(pairs, 0), data, pairs.recipe(CONTENDERS[name].method), 0)
        assert sum(done.tokens) == data.lengths.sum()
