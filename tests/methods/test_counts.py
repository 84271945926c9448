"""Parameter counts on a model of MiniLM's shape by hand. On the meta device, so no memory."""

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

from bench.measure.parameters import ParameterCount, ParameterLedger
from bench.plugins import registry, specs
from bench.plugins.specs import build_method
from bench.plugins.task import TaskContext
from bench.train.model import head_parameters

MINILM: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}


def counted(spec: str, kind: str = "classification") -> ParameterCount:
    """A method applied to a model of MiniLM's shape with a two-class head, and what the ledger finds."""
    method = build_method(registry.methods(), specs.parse(spec))
    context = TaskContext("none", kind, False, 2, (101, 102), 0)  # type: ignore[arg-type]
    with torch.device("meta"):
        model_class = BertForTokenClassification if kind == "token-classification" else BertForSequenceClassification
        model = model_class(BertConfig(**MINILM, num_labels=2)).requires_grad_(False)
        head = head_parameters(model)
        ledger = ParameterLedger(model, head)
        module = method.apply(model, context)
    for parameter in head:
        parameter.requires_grad_(True)
    count = ledger.count(module)
    assert method.trainable_formula(model.config, context) in (None, count.trainable)
    return count


@pytest.mark.parametrize(
    ("spec", "trainable"),
    [
        ("pasta", 4_608),  # 2 slots x 6 layers x 384
        ("bitfit", 26_112),  # 6 x (7 x 384 + 1,536), the norm of the embeddings and the pooler
        ("lora", 73_728),  # 6 layers x 2 matrices x 8 x (384 + 384)
        ("lora[r=2,targets=query+key+value]", 6 * 3 * (2 * 384 + 384 * 2)),
        ("prompt_tuning", 20 * 384),
        ("prompt_tuning[tokens=3]", 3 * 384),
        ("prefix_tuning", 2 * 20 * 6 * 384),
        ("prefix_tuning[tokens=3]", 2 * 3 * 6 * 384),
        ("ia3", 6 * (384 + 384 + 1536)),
        # two adapters a layer of width 64, and thirteen layer norms
        ("adapters", 12 * (2 * 64 * 384 + 384 + 64) + 13 * 2 * 384),
        ("adapters[layer_norms=false]", 12 * (2 * 64 * 384 + 384 + 64)),
        ("adapters[placement=pfeiffer,bottleneck=8]", 6 * (2 * 8 * 384 + 384 + 8)),
        ("adapters[placement=pfeiffer,bottleneck=8,layer_norms=true]", 6 * (2 * 8 * 384 + 384 + 8) + 13 * 2 * 384),
        ("peft:lora[use_dora=true]", 6 * 2 * (8 * 384 + 384 * 8 + 384)),
        ("head", 0),
    ],
)
def test_counts_on_minilms_shape(spec: str, trainable: int) -> None:
    count = counted(spec)
    assert count.trainable == count.method == trainable
    assert count.head == 384 * 2 + 2 == 770
    assert count.base == 22_713_986


def test_full_trains_all_but_counts_the_head_apart() -> None:
    count = counted("full")
    assert count.trainable == 22_713_986 - 770
    assert count.share_with_head_percent == 100
    assert counted("pasta").share_with_head_percent == pytest.approx(100 * (4_608 + 770) / 22_713_986)


def test_bitfit_without_a_pooler_has_one_bias_less() -> None:
    assert counted("bitfit", kind="token-classification").trainable == 26_112 - 384


def test_veras_shared_matrices_are_its_own_though_they_do_not_train() -> None:
    count = counted("peft:vera[r=64]")
    assert count.trainable == 6 * 2 * (64 + 384)  # of each matrix a vector of the rank and one of the outputs
    assert count.method == count.trainable + 64 * (384 + 384)  # drawn once for all layers


def test_lora_on_the_feed_forward_has_no_formula_but_is_counted() -> None:
    # "intermediate" 384 -> 1536 alone, by the name of its linear layer
    assert counted("lora[r=4,targets=intermediate.dense]").trainable == 6 * 4 * (384 + 1536)
