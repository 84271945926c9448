"""The cheaper dropout and attention against torch's own, and against what can be worked out by hand."""

import contextlib
import copy
import math
from typing import Any

import pytest
import torch
from scipy import stats
from tiny_encoders import NAMES, inputs, no_dropout
from tiny_encoders import model as encoder
from torch import nn

from bench.train import kernels


def masked(count: int, p: float) -> torch.Tensor:
    return kernels.dropout_mask(kernels.random_draws(torch.empty(count)), p, torch.float32)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.013])
def test_masks_have_the_probability_and_the_expectation_of_dropout(p: float) -> None:
    torch.manual_seed(1)
    mask = masked(1_000_003, p)
    dropped = int((mask == 0).sum())
    assert stats.binomtest(dropped, mask.numel(), kernels.dropped_levels(p) / 65536).pvalue > 1e-3
    assert abs(kernels.dropped_levels(p) / 65536 - p) <= 0.5 / 65536
    kept = mask[mask != 0].unique()
    assert kept.tolist() == pytest.approx([1 / (1 - p)], rel=2e-5)


def test_one_64_bit_draw_serves_four_elements() -> None:
    """By hand: the mask is what the draws' 16-bit parts say, lowest first, and all of them occur as the sign too."""
    torch.manual_seed(3)
    mask = masked(10, 0.25)
    torch.manual_seed(3)
    draws = torch.empty(3, dtype=torch.int64).random_(-(2**63), None).tolist()
    parts = [(draw >> shift) & 0xFFFF for draw in draws for shift in (0, 16, 32, 48)]
    signed = [part - 0x10000 if part >= 0x8000 else part for part in parts][:10]
    assert mask.tolist() == pytest.approx([4 / 3 if part >= 0x4000 - 0x8000 else 0.0 for part in signed])


def test_dropout_depends_on_torchs_seed_and_leaves_evaluation_alone() -> None:
    layer = kernels.Dropout(0.5)
    x = torch.ones(3, 5, requires_grad=True)
    torch.manual_seed(0)
    first = layer(x)
    torch.manual_seed(0)
    assert torch.equal(first, layer(x))
    assert not torch.equal(first, layer(x))
    first.sum().backward()
    assert torch.equal(x.grad, first)  # of ones: the mask itself
    assert layer.eval()(x) is x
    assert kernels.Dropout(0.0)(x) is x


def parts(keys: int, queries: int | None = None) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(5)
    lengths = (queries or keys, keys, keys)
    return tuple(
        torch.randn(2, length, 3, 4, dtype=torch.float64).transpose(1, 2).requires_grad_() for length in lengths
    )


def padding(keys: int) -> torch.Tensor:
    mask = torch.zeros(2, 1, 1, keys, dtype=torch.float64)
    mask[1, :, :, -3:] = torch.finfo(torch.float64).min
    return mask


@pytest.mark.parametrize("mask", [None, padding(9)], ids=["no mask", "padding"])
@pytest.mark.parametrize(("queries", "dropout"), [(9, 0.0), (5, 0.0), (9, 0.3)])
def test_attention_and_its_gradients_are_the_formulas(mask: torch.Tensor | None, queries: int, dropout: float) -> None:
    q, k, v = parts(9, queries)
    torch.manual_seed(4)
    found, none = kernels.attention(nn.Module(), q, k, v, mask, dropout=dropout, scaling=0.3)
    assert none is None
    products = 0.3 * q @ k.transpose(2, 3)
    weights = torch.softmax(products if mask is None else products + mask, -1)
    torch.manual_seed(4)  # the same draws
    dropped = weights * kernels.dropout_mask(kernels.random_draws(weights), dropout, weights.dtype)
    expected = (dropped @ v).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (q, k, v), direction), torch.autograd.grad(expected, (q, k, v), direction)
    )


@pytest.mark.parametrize("keys", [kernels.FUSED_FROM - 1, kernels.FUSED_FROM])
def test_long_inputs_without_dropout_are_torchs_own_with_the_same_result(keys: int) -> None:
    """With the default scaling too: one over the root of the width."""
    q, k, v = parts(keys)
    expected = (torch.softmax(0.5 * q @ k.transpose(2, 3) + padding(keys), -1) @ v).transpose(1, 2)
    for scaling in (0.5, None):
        torch.testing.assert_close(kernels.attention(nn.Module(), q, k, v, padding(keys), scaling=scaling)[0], expected)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_step_under_autocast(family: str) -> None:
    """Gradients in bfloat16 are near those in float32."""
    gradients = []
    for precision in (contextlib.nullcontext(), torch.autocast("cpu", torch.bfloat16)):
        model = encoder(family).train()
        no_dropout(model)
        kernels.install(model, "16-bit")
        with precision:
            loss = model(**inputs(family)).logits.float().square().sum()
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_a_float32_prefix_beside_bfloat16_queries_gets_its_gradients() -> None:
    """As of prefix tuning under autocast: the prefix makes keys and values of float32."""
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(1)
        query, key, value = (torch.randn(2, 4, length, 8) for length in (5, 7, 7))
        for each in (key, value):
            each.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            output, _ = kernels.attention(nn.Module(), query.to(dtype), key, value, None, dropout=1e-9)
        output.float().square().sum().backward()
        assert key.grad is not None
        assert key.grad.dtype == torch.float32
        gradients.append(torch.cat([each.grad.flatten() for each in (key, value)]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


@pytest.mark.parametrize("family", NAMES)
def test_a_model_gives_the_same_logits_and_gradients_with_them(family: str) -> None:
    plain = encoder(family).double()
    no_dropout(plain)
    ours = copy.deepcopy(plain)
    kernels.install(ours, "16-bit")
    found, expected = (model.train()(**inputs(family)).logits for model in (ours, plain))
    torch.testing.assert_close(found, expected)
    for logits in (found, expected):
        logits.square().sum().backward()
    for mine, its in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.grad, rtol=1e-5, atol=1e-6)  # ModernBERT's positions are float32


@pytest.mark.parametrize("family", NAMES)
def test_no_dropout_of_a_model_is_left_out(family: str) -> None:
    model = encoder(family)
    kernels.install(model, "16-bit")
    assert not [name for name, part in model.named_modules() if type(part) is nn.Dropout]
    if model._supports_attention_backend:
        assert model.config._attn_implementation == kernels.ATTENTION


@pytest.mark.parametrize("masks", ["torch", None])
def test_masks_of_torch_leave_a_model_as_it_is(masks: Any) -> None:
    model = encoder("bert")
    before = model.config._attn_implementation
    kernels.install(model, masks)
    assert model.config._attn_implementation == before
    assert not [part for part in model.modules() if isinstance(part, kernels.Dropout)]


def test_hooks_on_a_dropout_stay() -> None:
    """Adapters are such hooks."""
    model = encoder("bert").train()
    seen: list[str] = []
    model.bert.embeddings.dropout.register_forward_hook(lambda *_: seen.append("called"))
    kernels.install(model, "16-bit")
    model(**inputs("bert"))
    assert seen == ["called"]
    assert math.isclose(model.bert.embeddings.dropout.p, model.config.hidden_dropout_prob)
