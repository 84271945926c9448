"""IA3 against its three equations, on a base model whose own modules are scaled by hand."""

from typing import Any

import pytest
import tiny_encoders
import torch

from bench.plugins import registry
from bench.plugins.specs import build_method, parse

D, INNER, LAYERS = tiny_encoders.HIDDEN, tiny_encoders.INNER, tiny_encoders.LAYERS
# The modules whose outputs are K, V and g(W1 x) in one layer of each family.
SCALED = {
    **dict.fromkeys(tiny_encoders.BERT_LIKE, ("attention.self.key", "attention.self.value", "intermediate")),
    "deberta-v2": ("attention.self.key_proj", "attention.self.value_proj", "intermediate"),
    "distilbert": ("attention.k_lin", "attention.v_lin", "ffn.activation"),
    "mpnet": ("attention.attn.k", "attention.attn.v", "intermediate"),
}


def ia3() -> Any:
    return build_method(registry.methods(), parse("ia3"))


def layers_of(model: Any) -> Any:
    backbone = getattr(model, model.base_model_prefix)
    return backbone.transformer.layer if hasattr(backbone, "transformer") else backbone.encoder.layer


@pytest.mark.parametrize("family", SCALED)
def test_keys_values_and_feed_forward_activations_are_rescaled_and_nothing_else(family: str) -> None:
    module = tiny_encoders.adapted(ia3(), family).module
    base = tiny_encoders.model(family)
    base.classifier.load_state_dict(module.classifier.state_dict())
    if hasattr(base, "pre_classifier"):
        base.pre_classifier.load_state_dict(module.pre_classifier.state_dict())
    if hasattr(base, "pooler"):
        base.pooler.load_state_dict(module.pooler.state_dict())
    inputs = tiny_encoders.inputs(family)
    plain = base(**inputs).logits
    assert torch.equal(module(**inputs).logits, plain)  # ones change nothing

    vectors = {name: p for name, p in module.named_parameters() if "ia3_l" in name}
    assert len(vectors) == 3 * LAYERS
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for vector in vectors.values():
            vector.copy_(1 + torch.randn(vector.shape, generator=draw))
    for index, layer in enumerate(layers_of(base)):
        mine = [p.flatten() for name, p in vectors.items() if f"layer.{index}." in name]
        assert [len(vector) for vector in mine] == [D, D, INNER]
        for at, scale in zip(SCALED[family], mine, strict=True):
            layer.get_submodule(at).register_forward_hook(lambda m, a, out, scale=scale: out * scale)
    got, want = module(**inputs).logits, base(**inputs).logits
    assert torch.allclose(got, want, rtol=0, atol=1e-5)
    assert (want - plain).abs().max() > 1e-2


def test_pefts_own_targets_hit_the_attentions_output_too() -> None:
    """Why the named method has its own: endings of names match more than the paper scales."""
    method = build_method(registry.methods(), parse("peft:ia3"))
    assert tiny_encoders.adapted(method, "bert").parameters.trainable == LAYERS * (3 * D + INNER)
