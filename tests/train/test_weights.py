"""Whether a model's weights are those of its files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertConfig, BertForMaskedLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from bench.errors import SourceError
from bench.train.model import backbone, lacks_pooler, load_model
from bench.train.weights import drawn

WEIGHTS = "model.safetensors"


@pytest.fixture
def changed(tiny: Any, tmp_path: Path) -> Callable[..., Path]:
    """The tiny model's folder with its tensors changed by a function of name and tensor."""

    def make(change: Callable[[str, torch.Tensor], dict[str, torch.Tensor]]) -> Path:
        folder = Path(shutil.copytree(tiny.path, tmp_path / "model"))
        tensors = load_file(folder / WEIGHTS)
        made = {k: v for name, tensor in tensors.items() for k, v in change(name, tensor).items()}
        save_file(made, folder / WEIGHTS, {"format": "pt"})
        return folder

    return make


def test_names_with_a_foreign_prefix_are_refused(changed: Callable[..., Path]) -> None:
    folder = changed(lambda name, tensor: {f"module.{name}": tensor})
    with pytest.raises(SourceError, match=r": 5\d of its 55 weights are not in its files .*first embeddings\."):
        load_model(folder, "classification", 3)


def test_one_weight_that_the_file_lacks_is_named(changed: Callable[..., Path]) -> None:
    lost = "encoder.layer.1.attention.self.query.weight"
    folder = changed(lambda name, tensor: {} if name.endswith(lost) else {name: tensor})
    with pytest.raises(SourceError, match=rf": 1 of its \d+ weights .*first {lost}\."):
        load_model(folder, "classification", 3)


def test_values_count_and_not_the_report(tiny: Any) -> None:
    model = backbone(load_model(tiny.path, "classification", 3))
    assert drawn(model, tiny.path) == []
    with torch.no_grad():
        model.encoder.layer[0].output.dense.weight.normal_()
    assert drawn(model, tiny.path) == ["encoder.layer.0.output.dense.weight"]


@pytest.mark.parametrize("change", ["half", "legacy", "head", "shards"])
def test_other_files_of_the_same_weights_are_taken(change: str, changed: Callable[..., Path], tmp_path: Path) -> None:
    def legacy(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor}

    changes = {"half": lambda name, tensor: {name: tensor.half()}, "legacy": legacy,
               "head": lambda name, tensor: {f"bert.{name}": tensor}}  # fmt: skip
    folder = changed(changes.get(change, lambda name, tensor: {name: tensor}))
    if change == "shards":
        AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "shards", max_shard_size="20KB")
        folder = tmp_path / "shards"
        assert len(list(folder.glob("*.safetensors"))) > 1
    load_model(folder, "classification", 3)


def without_pooler(folder: Path) -> Path:
    config = BertConfig(vocab_size=24, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def test_a_pooler_that_no_file_has_may_be_missing(tmp_path: Path, tiny: Any) -> None:
    load_model(without_pooler(tmp_path), "classification", 2)
    load_model(tmp_path, "token-classification", 3)
    assert lacks_pooler(tmp_path)
    assert not lacks_pooler(tiny.path)


def test_half_a_pooler_is_refused(changed: Callable[..., Path]) -> None:
    folder = changed(lambda name, tensor: {} if name == "pooler.dense.bias" else {name: tensor + 0.01})
    with pytest.raises(SourceError, match=r"1 of its \d+ weights .*first pooler\.dense\.bias"):
        load_model(folder, "classification", 2)


def test_a_family_whose_head_has_its_own_dense_layer_lacks_nothing(tmp_path: Path) -> None:
    tiny_encoders.model("roberta").base_model.save_pretrained(tmp_path)
    assert not lacks_pooler(tmp_path)


def test_the_experts_of_a_mixture_are_found_in_the_stack_that_transformers_makes_of_them(tmp_path: Path) -> None:
    config = Qwen3MoeConfig(
        vocab_size=24, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, intermediate_size=64,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(tmp_path)
    assert "model.layers.1.mlp.experts.3.up_proj.weight" in load_file(tmp_path / WEIGHTS)
    model = backbone(load_model(tmp_path, "classification", 3))
    assert drawn(model, tmp_path) == []
    with torch.no_grad():
        model.layers[1].mlp.experts.gate_up_proj.normal_()
    assert drawn(model, tmp_path) == ["layers.1.mlp.experts.gate_up_proj"]
