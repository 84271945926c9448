"""Floating-point operations, by torch's own counter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count


def counter() -> FlopCounterMode:
    """torch's counter, extended by the attention kernels of a CPU, forward and backward.

    Matrix products and attention count, a multiply and an add as two operations. Element-wise work (activations,
    normalisation, PASTA's additions) does not, as is usual. Scores that attention's backward pass recomputes do.
    """

    def forward(query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    def backward(gradient: Any, query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> int:
        return int(sdpa_backward_flop_count(gradient, query, key, value))

    # torch counts the fused kernels of CUDA; those of a CPU have other names and the same formulas.
    aten = torch.ops.aten
    on_cpu = {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    return FlopCounterMode(display=False, custom_mapping=on_cpu)


def forward_flops(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """FLOPs of one call of the model in evaluation mode, see `counter`."""
    was_training = model.training
    model.eval()
    with torch.inference_mode(), counter() as counted:
        model(**inputs)
    model.train(was_training)
    return int(counted.get_total_flops())
