"""Floating-point operations of a forward pass, by torch's own counter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def forward_flops(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """FLOPs of one call of the model in evaluation mode: matrix products and attention, a multiply and an add as two.

    Element-wise work (activations, normalisation, PASTA's additions) is not counted, as is usual.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    # torch knows attention's fused kernels on CUDA; the CPU's has another name and is the same sum.
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    was_training = model.training
    model.eval()
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
        model(**inputs)
    model.train(was_training)
    return int(counter.get_total_flops())
