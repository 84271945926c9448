"""Prefix tuning against a self-attention written out by hand, on every family that it says it works on."""

from typing import Any

import pytest
import tiny_encoders
import torch

from bench.plugins import registry
from bench.plugins.specs import build_method, parse

TOKENS = 3


def prefix_tuning(tokens: int = TOKENS) -> Any:
    return build_method(registry.methods(), parse(f"prefix_tuning[tokens={tokens}]"))


def prefix_of(module: Any) -> Any:
    (prefix,) = [p for name, p in module.named_parameters() if "prompt_encoder" in name]
    return prefix


def by_hand(model: Any, prefix: Any, inputs: dict[str, Any]) -> Any:
    """Logits where each self-attention reads [P_k; K] and [P_v; V], and the text's positions begin after the prefix.

    prefix: [tokens, layers * 2 * hidden], for each layer first its keys, then its values.
    """
    tokens, width = len(prefix), tiny_encoders.HIDDEN // tiny_encoders.HEADS
    mask = inputs["attention_mask"]

    def split(vectors: Any) -> Any:  # [batch, length, hidden] -> [batch, heads, length, width]
        return torch.stack(vectors.split(width, dim=-1), dim=1)

    def attention(module: Any, keys: Any, values: Any) -> Any:
        def forward(hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
            batch = len(hidden_states)
            k = torch.cat([keys.expand(batch, -1, -1), module.key(hidden_states)], dim=1)
            v = torch.cat([values.expand(batch, -1, -1), module.value(hidden_states)], dim=1)
            scores = split(module.query(hidden_states)) @ split(k).transpose(2, 3) / width**0.5
            read = torch.cat([torch.ones(batch, tokens), mask], dim=1).bool()
            scores = scores.masked_fill(~read[:, None, None, :], -torch.inf)
            mixed = scores.softmax(dim=-1) @ split(v)
            return torch.cat(mixed.unbind(dim=1), dim=-1), None

        return forward

    layers = getattr(model, model.base_model_prefix).encoder.layer
    parts = prefix.split(tiny_encoders.HIDDEN, dim=1)
    assert len(parts) == 2 * len(layers) == 2 * tiny_encoders.LAYERS
    for index, layer in enumerate(layers):
        attend = layer.attention.self
        attend.forward = attention(attend, parts[2 * index], parts[2 * index + 1])
    length = mask.shape[1]
    if model.config.model_type in ("bert", "electra"):
        positions = torch.arange(tokens, tokens + length).expand_as(mask)
    else:  # counted from after the padding index, at which padding stays
        padding = model.config.pad_token_id
        positions = padding + (mask.cumsum(dim=1) + tokens) * mask
    return model(**inputs, position_ids=positions).logits


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["classification", "token-classification"])
@pytest.mark.parametrize("family", tiny_encoders.BERT_LIKE)
def test_it_is_attention_over_prefix_and_text(family: str, kind: Any, attention: str) -> None:
    inputs = tiny_encoders.inputs(family)
    adapted = tiny_encoders.adapted(prefix_tuning(), family, kind, attention=attention)
    mine = prefix_of(adapted.module)
    model = tiny_encoders.model(family, kind).requires_grad_(False)
    model.classifier.load_state_dict(adapted.module.classifier.state_dict())
    theirs = mine.detach().clone().requires_grad_()

    got, want = adapted.module(**inputs).logits, by_hand(model, theirs, inputs)
    if kind == "token-classification":  # states of padding are nobody's
        got, want = (each[inputs["attention_mask"].bool()] for each in (got, want))
    assert torch.allclose(got, want, rtol=0, atol=1e-5)
    weights = torch.randn(want.shape, generator=torch.Generator().manual_seed(0))
    (got * weights).sum().backward()
    (want * weights).sum().backward()
    assert torch.allclose(mine.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    assert theirs.grad.abs().max() > 1e-2


def test_the_prefix_is_drawn_from_a_normal_distribution_of_spread_1() -> None:
    prefix = prefix_of(tiny_encoders.adapted(prefix_tuning(), "bert").module)
    assert prefix.std().item() == pytest.approx(1, abs=0.2)  # as in the authors' code
