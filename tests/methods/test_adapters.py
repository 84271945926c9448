"""Bottleneck adapters against layers written out by hand, with weights large enough to matter."""

import copy
import math
from typing import Any

import pytest
import tiny_encoders
import torch
from torch.nn.functional import layer_norm

from bench.plugins import registry
from bench.plugins.specs import build_method, parse

D, LAYERS = tiny_encoders.HIDDEN, tiny_encoders.LAYERS


def adapters(params: str = "") -> Any:
    return build_method(registry.methods(), parse(f"adapters[{params}]"))


def stirred(params: str, family: str, **options: Any) -> Any:
    """An adapted model whose adapters are far from the identity."""
    module = tiny_encoders.adapted(adapters(params), family, **options).module
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "adapter" in name:
                parameter.normal_(std=0.4, generator=draw)
    return module


def bottleneck(weights: dict[str, Any], at: str, x: Any, activation: Any) -> Any:
    down = x @ weights[f"{at}.adapter.down.weight"].T + weights[f"{at}.adapter.down.bias"]
    return activation(down) @ weights[f"{at}.adapter.up.weight"].T + weights[f"{at}.adapter.up.bias"]


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def by_hand(base: Any, weights: dict[str, Any], inputs: dict[str, Any], placement: str) -> Any:
    """Logits of the base model with the second half of each sublayer written out, adapters where the papers have them.

    weights: the tensors of the adapted model by name.
    """
    prefix = f"{base.base_model_prefix}.encoder.layer"

    def output(at: str, eps: float, houlsby: bool, pfeiffer: bool) -> Any:
        def normalise(z: Any) -> Any:
            return layer_norm(z, (D,), weights[f"{at}.LayerNorm.weight"], weights[f"{at}.LayerNorm.bias"], eps)

        def forward(hidden_states: Any, input_tensor: Any) -> Any:
            h = hidden_states @ weights[f"{at}.dense.weight"].T + weights[f"{at}.dense.bias"]
            if houlsby:
                h = h + bottleneck(weights, f"{at}.dropout", h, gelu)
            if pfeiffer:
                h = h + bottleneck(weights, f"{at}.LayerNorm", normalise(h + input_tensor), torch.relu)
            return normalise(h + input_tensor)

        return forward

    for index, layer in enumerate(getattr(base, base.base_model_prefix).encoder.layer):
        houlsby, eps = placement == "houlsby", layer.output.LayerNorm.eps
        attention, whole = f"{prefix}.{index}.attention.output", f"{prefix}.{index}.output"
        layer.attention.output.forward = output(attention, eps, houlsby, pfeiffer=False)
        layer.output.forward = output(whole, eps, houlsby, pfeiffer=not houlsby)
    return base(**inputs).logits


@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer"])
@pytest.mark.parametrize("family", tiny_encoders.BERT_LIKE)
def test_adapters_stand_where_the_papers_have_them(family: str, placement: str) -> None:
    inputs = tiny_encoders.inputs(family)
    module = stirred(f"placement={placement},bottleneck=5", family)
    weights = {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in module.named_parameters()}
    base = tiny_encoders.model(family).requires_grad_(False)
    base.classifier.load_state_dict(module.classifier.state_dict())
    without = base(**inputs).logits
    got, want = module(**inputs).logits, by_hand(base, weights, inputs, placement)
    assert torch.allclose(got, want, rtol=0, atol=1e-5)
    assert (want - without).abs().max() > 0.1

    shares = torch.randn(want.shape, generator=torch.Generator().manual_seed(0))
    (got * shares).sum().backward()
    (want * shares).sum().backward()
    compared = 0
    for name, parameter in module.named_parameters():
        if "adapter" in name:
            assert torch.allclose(parameter.grad, weights[name].grad, rtol=1e-4, atol=1e-5), name
            compared += 1
    assert compared == LAYERS * 4 * (2 if placement == "houlsby" else 1)


@pytest.mark.parametrize("family", tiny_encoders.BERT_LIKE)
@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer"])
def test_a_new_adapter_is_nearly_the_identity(family: str, placement: str) -> None:
    adapted = tiny_encoders.adapted(adapters(f"placement={placement}"), family)
    base = tiny_encoders.model(family)
    base.classifier.load_state_dict(adapted.module.classifier.state_dict())
    inputs = tiny_encoders.inputs(family)
    apart = (adapted.module(**inputs).logits - base(**inputs).logits).abs().max()
    # pfeiffer: nearly, too, since LN(LN(z) + A) would not be the base model, and LN(z + A(LN(z))) is
    assert 0 < apart < 1e-3
    for name, parameter in adapted.module.named_parameters():
        if "adapter" in name:
            assert parameter.abs().max() <= (0 if name.endswith("bias") else 2e-3)


def test_adapters_come_after_dropout_and_before_the_residual() -> None:
    """With every activation dropped, a sublayer's adapter sees zeros: what is left is its constant."""
    module = stirred("bottleneck=5", "bert")
    output = module.bert.encoder.layer[0].output
    output.dropout.p = 1.0
    module.train()
    hidden, residual = torch.randn(2, 3, tiny_encoders.INNER), torch.randn(2, 3, D)
    adapter = output.dropout.adapter
    constant = adapter.up(torch.nn.functional.gelu(adapter.down.bias, approximate="tanh"))
    want = layer_norm(residual + constant, (D,), output.LayerNorm.weight, output.LayerNorm.bias, output.LayerNorm.eps)
    assert torch.allclose(output(hidden, residual), want, atol=1e-6)


def test_a_copy_has_adapters_of_its_own() -> None:
    module, inputs = stirred("placement=pfeiffer", "bert"), tiny_encoders.inputs("bert")
    twin, before = copy.deepcopy(module), module(**inputs).logits
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if "adapter" in name:
                parameter.zero_()
    assert torch.equal(module(**inputs).logits, before)
    assert not torch.allclose(twin(**inputs).logits, before)
