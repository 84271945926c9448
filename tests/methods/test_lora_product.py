"""LoRA's one product against PEFT's own three, values and gradients, and where it must not be used."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear
from tiny_encoders import FAMILIES, adapted, batch, model

from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from methods import _lora_product


def lora(spec: str = "lora") -> Any:
    return build_method(registry.methods(), parse(spec))


def replaced(module: torch.nn.Module) -> list[Linear]:
    return [layer for layer in module.modules() if isinstance(layer, Linear) and isinstance(layer.forward, partial)]


def stirred(module: torch.nn.Module) -> torch.nn.Module:
    """B starts as zeros, which would hide its part."""
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return module.double()


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_are_pefts(family: str) -> None:
    ours = stirred(adapted(lora(), family).module)
    assert replaced(ours)
    pefts = copy.deepcopy(ours)
    for layer in replaced(pefts):
        del layer.forward
    inputs = batch(family)
    results = []
    for module in (ours, pefts):
        logits = module(**inputs).logits
        trained = [p for p in module.parameters() if p.requires_grad]
        results.append((logits, torch.autograd.grad(logits.square().sum(), trained, allow_unused=True)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-6)  # some families compute in float32


def test_the_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(1)
    x, a, b = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 5, 4), (2, 4), (6, 2)))
    weight, bias = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    for offset in (bias, None):
        assert torch.autograd.gradcheck(
            lambda x, a, b, o=offset: _lora_product.AdaptedProduct.apply(x, weight, o, a, b, 1.7), (x, a, b)
        )


@pytest.mark.parametrize(
    "options", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}, {"bias": "all"}], ids=str
)
def test_what_is_more_than_plain_lora_is_left_to_peft(options: dict[str, Any]) -> None:
    encoder = model("bert").bert
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["query", "value"], **options), encoder)
    _lora_product.use(encoder)
    assert not replaced(encoder)


def test_under_autocast_and_disabled_it_is_peft_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = adapted(lora(), "bert").module
    monkeypatch.setattr(_lora_product.AdaptedProduct, "apply", lambda *_: pytest.fail("it was used"))
    with torch.autocast("cpu", torch.bfloat16):
        module(**batch("bert"))
    for layer in replaced(module):
        layer.enable_adapters(False)
    module(**batch("bert"))


def test_in_evaluation_and_with_few_rows_it_is_peft_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """B A would be summed up for less than it saves: 27 rows are more than 16 columns, 5 are not."""
    used: list[int] = []
    apply = _lora_product.AdaptedProduct.apply
    monkeypatch.setattr(_lora_product.AdaptedProduct, "apply", lambda *all: used.append(1) or apply(*all))
    module = adapted(lora(), "bert").module
    with torch.inference_mode():
        module(**batch("bert"))
    module(**{name: value[1:2, :5] for name, value in batch("bert").items()})
    assert not used
    module(**batch("bert"))
    assert len(used) == len(replaced(module))


def test_a_copy_computes_with_its_own_matrices() -> None:
    """deepcopy and pickling take a layer's replaced forward along; it must not go on reading the old layer."""
    first = stirred(adapted(lora(), "bert").module)
    second = copy.deepcopy(first)
    for layer in replaced(first):
        torch.nn.init.zeros_(layer.lora_B["default"].weight)
    assert not torch.equal(first(**batch("bert")).logits, second(**batch("bert")).logits)
