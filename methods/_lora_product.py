"""LoRA's adapted product as one matrix product, where PEFT computes three and adds them up."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class AdaptedProduct(torch.autograd.Function):
    """x (W + s B A)' + b, with W and b frozen.

    The sum is made anew in each pass: with the inner dimension r that costs next to nothing beside the product, and
    nothing of the matrix's size is kept for the backward pass. A's and B's gradients are those of equation 3 of the
    LoRA paper; all sums are the same but for their order.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return functional.linear(x, torch.addmm(weight, b, a, alpha=scale), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x, weight, a, b = ctx.saved_tensors
        output = gradients[0].reshape(-1, gradients[0].shape[-1])
        rows = x.reshape(-1, x.shape[-1])
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (output @ torch.addmm(weight, b, a, alpha=ctx.scale)).view_as(x)
        of_a = (output @ b).mul_(ctx.scale).t() @ rows
        of_b = output.t() @ (rows @ a.t()).mul_(ctx.scale)
        return of_x, None, None, of_a, of_b, None


def use(model: nn.Module) -> None:
    """Compute PEFT's LoRA layers so, in place; those that do more than equation 3 says are left to PEFT.

    That is a dropout of LoRA's own, DoRA and other variants, more than one adapter, a base that trains or is no
    linear layer; and any layer under autocast, whose short numbers W + s B A would be rounded to, and in evaluation.
    """
    from peft.tuners.lora import Linear

    for layer in model.modules():
        if type(layer) is Linear and _plain(layer):
            layer.forward = partial(_forward, layer, layer.forward)


def _plain(layer: Any) -> bool:
    names = list(layer.lora_A)
    if names != layer.active_adapters or len(names) != 1 or type(layer.base_layer) is not nn.Linear:
        return False
    name = names[0]
    extra = layer.use_dora.get(name) or name in layer.lora_variant or layer.lora_bias.get(name) or layer.fan_in_fan_out
    base_trains = any(parameter.requires_grad for parameter in layer.base_layer.parameters())
    return type(layer.lora_dropout[name]) is nn.Identity and not extra and not base_trains


def _forward(layer: Any, plain: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    (name,) = layer.lora_A
    # Adding up the matrices pays where there are more rows than columns, and gradients to save work on.
    few = not torch.is_grad_enabled() or x[..., 0].numel() < x.shape[-1]
    if few or args or kwargs or layer.disable_adapters or layer.merged or torch.is_autocast_enabled(x.device.type):
        result: Tensor = plain(x, *args, **kwargs)
        return result
    base, a, b = layer.base_layer, layer.lora_A[name].weight, layer.lora_B[name].weight
    product: Tensor = AdaptedProduct.apply(x, base.weight, base.bias, a, b, layer.scaling[name])
    return product
