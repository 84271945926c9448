"""Dropout and attention on a CPU, at less cost than torch's own and to the same law.

torch draws one random number for every element that may be dropped, which is a third of a training step on a CPU, and
its fused attention is slow at the lengths of sentences. On other devices torch's own are the fast ones and stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from bench.plugins.recipe import Masks

ATTENTION = "bench-cpu"
CHANCES = 2**16  # a mask's bits for one element: 16
FUSED_FROM = 128  # keys; from here on torch's fused attention, which reads no dropout, is the faster one
_UNUSUAL = ("position_bias", "softcap", "cache")  # that encoders do not have, and that torch's own is left to


class Dropout(nn.Dropout):
    """torch's Dropout, its mask drawn 16 bits an element: four elements for one 64-bit draw of the global generator.

    Elements are dropped independently, with a probability of p rounded to a multiple of 1/65536 (0.1 becomes
    0.100006), and what stays is divided by the probability of staying, so that the expectation is the input's.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0 or self.inplace or input.device.type != "cpu":
            return super().forward(input)
        dropped: Tensor = _Dropped.apply(input, self.p)
        return dropped


class _Dropped(torch.autograd.Function):
    """Keeps the draws for the backward pass, which are half of the mask that they make."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, p: float) -> Tensor:
        chances = drawn(input)
        ctx.save_for_backward(chances)
        ctx.p = p
        return input * kept(chances, p, input.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (chances,) = ctx.saved_tensors
        return kept(chances, ctx.p, gradient.dtype).mul_(gradient), None


def drawn(like: Tensor) -> Tensor:
    """One draw an element: int16, uniform over [-32768, 32767], shaped as `like`."""
    count = like.numel()
    # From the lowest number up to None, which is the highest: without it the sign bit would always be zero.
    draws = torch.empty((count + 3) // 4, dtype=torch.int64, device=like.device).random_(-(2**63), None)
    return draws.view(torch.int16)[:count].view(like.shape)


def kept(chances: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """The mask of one dropout: zero with probability p, else one over the probability of staying."""
    dropped = dropped_chances(p)
    mask = torch.empty_like(chances, dtype=dtype)
    if dropped == CHANCES:
        return mask.zero_()
    torch.ge(chances, dropped - CHANCES // 2, out=mask)
    return mask.mul_(CHANCES / (CHANCES - dropped))


def dropped_chances(p: float) -> int:
    """Of CHANCES, those that drop an element."""
    return round(p * CHANCES)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """softmax(scaling Q K^T + mask) V with dropout of the weights; arguments as transformers gives its attentions.

    Args:
        query, key, value: [batch, heads, length, width]; keys and values may be more than queries (a prefix).
        attention_mask: what is added to the products, broadcast over [batch, heads, queries, keys].

    Returns:
        [batch, queries, heads, width], and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    heads, width = query.shape[1], query.shape[3]
    keys = key.shape[2]
    unusual = key.shape[1] != heads or any(others.get(name) is not None for name in _UNUSUAL)
    unusual |= attention_mask is not None and attention_mask.requires_grad
    if unusual or query.device.type != "cpu" or (not dropout and keys >= FUSED_FROM):
        others["is_causal"] = False  # the mask says all that there is to say
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
    answer: Tensor = _Attention.apply(
        query, key, value, attention_mask, dropout, width**-0.5 if scaling is None else scaling
    )
    return answer, None


class _Attention(torch.autograd.Function):
    """What is kept for the backward pass: queries, keys, values, the weights before dropout, and its draws."""

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
        chances = drawn(weights) if dropout else None
        ctx.save_for_backward(q, k, v, weights, chances)
        ctx.dropout, ctx.scaling, ctx.shape = dropout, scaling, (batch, heads)
        if chances is not None:
            weights = kept(chances, dropout, weights.dtype).mul_(weights)
        return torch.bmm(weights, v).view(batch, heads, queries, -1).transpose(1, 2).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        q, k, v, weights, chances = ctx.saved_tensors
        answer = gradient.transpose(1, 2).reshape(-1, gradient.shape[1], gradient.shape[3]).to(v.dtype)
        of_weights = torch.bmm(answer, v.transpose(1, 2))
        if chances is None:
            of_v = torch.bmm(weights.transpose(1, 2), answer)
        else:
            mask = kept(chances, ctx.dropout, weights.dtype)
            of_weights.mul_(mask)
            of_v = torch.bmm(mask.mul_(weights).transpose(1, 2), answer)
        # A softmax's gradient: w (g - sum of g w over the row).
        of_weights.sub_((of_weights * weights).sum(-1, keepdim=True)).mul_(weights)
        of_q = torch.bmm(of_weights, k).mul_(ctx.scaling)
        of_k = torch.bmm(of_weights.transpose(1, 2), q)
        of_q, of_k, of_v = (part.view(*ctx.shape, *part.shape[1:]) for part in (of_q, of_k, of_v))
        return of_q, of_k, of_v, None, None, None


def use(module: nn.Module, masks: Masks | None) -> None:
    """Where masks are to be of 16 bits, put this dropout and attention in the place of a model's own.

    In place, with hooks and all else as they are. Call it on the adapted model, so that what a method brought along
    is reached too. Models whose attention cannot be exchanged keep theirs.
    """
    from transformers import PreTrainedModel

    if masks != "16-bit":
        return
    _register()
    for part in module.modules():
        if type(part) is nn.Dropout:
            # Not a new module: hooks on this one, and names that others know it by, would be lost.
            part.__class__ = Dropout
        if isinstance(part, PreTrainedModel) and part._supports_attention_backend:
            part.set_attn_implementation(ATTENTION)


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, eager_mask)  # what is added, and None where nothing is padded
