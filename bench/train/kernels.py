"""Dropout and attention for CPUs: the same distribution as torch's own, in less time.

torch draws one random number for every element that may be dropped, which takes a third of a training step on a CPU,
and its fused attention is slow at the lengths of sentences. On other devices torch's own are faster and stay.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask

from bench.plugins.recipe import Masks

ATTENTION = "bench-cpu"
LEVELS = 2**16  # of a draw for one element, which has 16 bits
FUSED_FROM = 128  # keys; from here on torch's fused attention is faster where there is no dropout
_UNSUPPORTED = ("position_bias", "softcap", "cache")  # arguments that no encoder gives: torch's own handles them


class Dropout(nn.Dropout):
    """torch's Dropout with 16 random bits an element: one 64-bit draw of the global generator for four elements.

    Elements are dropped independently, with probability p rounded to a multiple of 1/65536 (0.1 becomes 0.100006), and
    the others are divided by the probability of staying, so that the expectation is that of the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0 or self.inplace or input.device.type != "cpu":
            return super().forward(input)
        dropped: Tensor = _DropoutFunction.apply(input, self.p)
        return dropped


class _DropoutFunction(torch.autograd.Function):
    """Saves the draws for the backward pass: they take half of the memory of the mask."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, p: float) -> Tensor:
        draws = random_draws(input)
        ctx.save_for_backward(draws)
        ctx.p = p
        return input * dropout_mask(draws, p, input.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (draws,) = ctx.saved_tensors
        return dropout_mask(draws, ctx.p, gradient.dtype).mul_(gradient), None


def random_draws(like: Tensor) -> Tensor:
    """One draw an element: int16, uniform over [-32768, 32767], in the shape of `like`."""
    count = like.numel()
    # Up to None, the highest number: otherwise the sign bit would always be zero.
    quads = torch.empty((count + 3) // 4, dtype=torch.int64, device=like.device).random_(-(2**63), None)
    return quads.view(torch.int16)[:count].view(like.shape)


def dropout_mask(draws: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """Zero with probability p, else one over the probability of staying."""
    dropped = dropped_levels(p)
    mask = torch.empty_like(draws, dtype=dtype)
    if dropped == LEVELS:
        return mask.zero_()
    torch.ge(draws, dropped - LEVELS // 2, out=mask)
    return mask.mul_(LEVELS / (LEVELS - dropped))


def dropped_levels(p: float) -> int:
    """How many of LEVELS drop an element."""
    return round(p * LEVELS)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """softmax(scaling Q K^T + mask) V with dropout of the weights; the arguments are those of transformers.

    Args:
        query, key, value: [batch, heads, length, width]; keys and values may be more than queries (a prefix).
        attention_mask: added to the products, broadcast over [batch, heads, queries, keys].

    Returns:
        [batch, queries, heads, width], and no weights.
    """
    # Under autocast a prefix in float32 makes keys and values of float32, beside queries in bfloat16.
    key, value = key.to(query.dtype), value.to(query.dtype)
    heads, width = query.shape[1], query.shape[3]
    keys = key.shape[2]
    unsupported = key.shape[1] != heads or any(kwargs.get(name) is not None for name in _UNSUPPORTED)
    unsupported |= attention_mask is not None and attention_mask.requires_grad
    if unsupported or query.device.type != "cpu" or (not dropout and keys >= FUSED_FROM):
        kwargs["is_causal"] = False  # the mask says all
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    output: Tensor = _Attention.apply(
        query, key, value, attention_mask, dropout, width**-0.5 if scaling is None else scaling
    )
    return output, None


class _Attention(torch.autograd.Function):
    """Saves queries, keys, values, the weights before dropout, and its draws for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scaling: float
    ) -> Tensor:
        batch, heads, queries, _ = query.shape
        q, k, v = (part.reshape(batch * heads, *part.shape[2:]) for part in (query, key, value))
        q = q * scaling
        products = torch.bmm(q, k.transpose(1, 2))
        if mask is not None:
            products = (products.view(batch, heads, queries, -1) + mask).view_as(products)
        weights = torch.softmax(products, dim=-1).to(v.dtype)  # under autocast it comes in float32
        draws = random_draws(weights) if dropout else None
        ctx.save_for_backward(q, k, v, weights, draws)
        ctx.dropout, ctx.scaling, ctx.shape = dropout, scaling, (batch, heads)
        if draws is not None:
            weights = dropout_mask(draws, dropout, weights.dtype).mul_(weights)
        return torch.bmm(weights, v).view(batch, heads, queries, -1).transpose(1, 2).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        q, k, v, weights, draws = ctx.saved_tensors
        of_output = gradient.transpose(1, 2).reshape(-1, gradient.shape[1], gradient.shape[3]).to(v.dtype)
        of_weights = torch.bmm(of_output, v.transpose(1, 2))
        if draws is None:
            of_v = torch.bmm(weights.transpose(1, 2), of_output)
        else:
            mask = dropout_mask(draws, ctx.dropout, weights.dtype)
            of_weights.mul_(mask)
            of_v = torch.bmm(mask.mul_(weights).transpose(1, 2), of_output)
        # A softmax's gradient: w (g - sum of g w over the row).
        of_weights.sub_((of_weights * weights).sum(-1, keepdim=True)).mul_(weights)
        of_q = torch.bmm(of_weights, k).mul_(ctx.scaling)
        of_k = torch.bmm(of_weights.transpose(1, 2), q)
        of_q, of_k, of_v = (part.view(*ctx.shape, *part.shape[1:]) for part in (of_q, of_k, of_v))
        return of_q, of_k, of_v, None, None, None


def install(module: nn.Module, masks: Masks | None) -> None:
    """With 16-bit masks, replace a model's dropout and attention by those of this module, in place.

    Call it on the adapted model, so that it reaches what the method has added. Models whose attention cannot be
    replaced keep theirs.
    """
    if masks != "16-bit":
        return
    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, eager_mask)  # None where nothing is padded
    for part in module.modules():
        if type(part) is nn.Dropout:
            # A new module would lose the hooks on this one, and references to it.
            part.__class__ = Dropout
        if isinstance(part, PreTrainedModel) and part._supports_attention_backend:
            part.set_attn_implementation(ATTENTION)
