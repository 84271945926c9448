"""A saved adapter on a model again, and folders that hold none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
import torch

from bench.errors import UsageError
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train.adaptation import adapt, restore, saved_method


@pytest.fixture
def folder(tiny: Any, tmp_path: Path) -> Path:
    """An adapter of LoRA as a run saves it."""
    method = build_method(registry.methods(), parse("lora[r=3,targets=query+key]"))
    module = adapt(tiny.model("classification"), method, tiny.context("classification"), seeds.streams(5)).module
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05)
    method.save(module, tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_comes_back_with_its_parameters(tiny: Any, folder: Path, tmp_path: Path) -> None:
    method = saved_method(folder, registry.methods())
    assert (method.name, method.params.r, method.params.targets) == ("lora", 3, ("query", "key"))
    module = restore(tiny.model("classification"), method, folder, tiny.context("classification"))
    method.save(module, tmp_path / "again")
    files = {file.name: file for file in folder.iterdir()}
    weights = files.pop("adapter_model.safetensors")
    assert files.keys() == {"adapter.json", "adapter_config.json"}
    assert (tmp_path / "again" / weights.name).read_bytes() == weights.read_bytes()
    for name, file in files.items():
        assert json.loads((tmp_path / "again" / name).read_text()) == json.loads(file.read_text())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "is not an adapter: adapter.json cannot be read"),
        ("{", "does not describe an adapter"),
        ("[]", "does not describe an adapter"),
        ('{"params": {}}', "does not describe an adapter: method: Field required"),
        ('{"method": "lor", "params": {}}', "There is no method 'lor'; did you mean 'lora'?"),
        ('{"method": "lora", "params": {"r": 0}}', "does not describe an adapter: r: "),
    ],
)
def test_a_wrong_description_is_an_error(folder: Path, text: str | None, reason: str) -> None:
    if text is None:
        (folder / "adapter.json").unlink()
    else:
        (folder / "adapter.json").write_text(text)
    with pytest.raises(UsageError) as error:
        saved_method(folder, registry.methods())
    assert reason in str(error.value)


@pytest.mark.parametrize("weights", [None, "no tensors", "another method's", "another model's"])
def test_weights_that_do_not_fit_are_an_error(tiny: Any, folder: Path, weights: str | None) -> None:
    from transformers import BertForSequenceClassification

    method, model = saved_method(folder, registry.methods()), tiny.model("classification")
    match weights:
        case None:
            (folder / "adapter_model.safetensors").unlink()
        case "no tensors":
            (folder / "adapter_model.safetensors").write_text(weights)
        case "another method's":
            method = build_method(registry.methods(), parse("head"))
        case _:
            model = BertForSequenceClassification(tiny_bert.config(hidden_size=16, num_labels=3))
    with pytest.raises(UsageError, match="cannot be put on this model and task"):
        restore(model, method, folder, tiny.context("classification"))
