"""FLOPs of a forward pass against the sum by hand, and the machine's own speed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from bench.measure.flops import forward_flops
from bench.measure.machine import SIZE, matmul_gflops


def model(**changes: Any) -> BertForSequenceClassification:
    return BertForSequenceClassification(
        BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=50,
                   num_labels=3, **changes)
    )  # fmt: skip


def inputs(batch: int, length: int) -> dict[str, torch.Tensor]:
    ids = torch.ones(batch, length, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": ids.clone()}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("batch", "length"), [(1, 7), (3, 16)])
def test_a_berts_forward_pass_by_hand(attention: str, batch: int, length: int) -> None:
    hidden, inner, tokens = 32, 48, batch * length
    projections = 4 * hidden * hidden + 2 * hidden * inner  # query, key, value, output; up and down
    attended = 2 * batch * length * length * hidden  # scores, and the values they weigh
    heads = batch * (hidden * hidden + hidden * 3)  # pooler and classifier, on the first token
    by_hand = 2 * (2 * (tokens * projections + attended) + heads)
    assert forward_flops(model(attn_implementation=attention), inputs(batch, length)) == by_hand


def test_the_model_is_left_as_it_was() -> None:
    made = model().train()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    forward_flops(made, inputs(1, 4))
    assert made.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    assert all(parameter.grad is None for parameter in made.parameters())


def test_the_machines_speed_is_products_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("bench.measure.machine.time.perf_counter", lambda: next(ticks) * 0.001)
    threads = torch.get_num_threads()
    assert matmul_gflops("cpu") == pytest.approx(2 * SIZE**3 / 0.001 / 1e9)
    assert torch.get_num_threads() == threads
