"""How fast this machine multiplies matrices of the model's own sizes, and how much of that a training uses."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.train.model import backbone, bare_model

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Shape = tuple[int, int]  # inputs, outputs

WARM_UP, REPEATS = 3, 11


@dataclass(frozen=True)
class Work:
    """What a step of PASTA multiplies for a token that is no padding, in FLOPs: a multiply and an add as two.

    layers: 4 x the products of the encoder's linear layers, 2 going forward and 2 for the gradients of the
    activations; no weight has a gradient. attention: products of queries, keys and values with each other, forward
    and both gradients, at the lengths of these examples. It is stated apart and left out of every share.
    """

    layers: float
    attention: float


def layer_shapes(config: PreTrainedConfig) -> Counter[Shape]:
    """The linear layers that see every token, counted by their sizes: those of the backbone but the pooler's."""
    import torch

    encoder = backbone(bare_model(config, "classification", 2))
    return Counter(
        (part.in_features, part.out_features)
        for name, part in encoder.named_modules()
        if isinstance(part, torch.nn.Linear) and "pooler" not in name
    )


def work_per_token(config: PreTrainedConfig, lengths: np.ndarray) -> Work:
    """The work of PASTA's step; lengths: tokens an example, [examples]."""
    products = sum(count * inputs * outputs for (inputs, outputs), count in layer_shapes(config).items())
    per_pair = 12 * config.num_hidden_layers * config.hidden_size  # 4 going forward, 8 back, for two tokens that meet
    return Work(4.0 * products, float(per_pair * (lengths.astype(float) ** 2).sum() / lengths.sum()))


def product_gflops(shapes: Mapping[Shape, int], tokens: int) -> float:
    """The rate of float32 products with all of torch's threads, in GFLOP/s.

    Of [tokens, inputs] with a layer's weights, and of [tokens, outputs] with them for the gradient, each layer
    weighted as often as the model has it: all FLOPs over the sum of the median times.
    """
    import torch
    from torch.nn import functional

    seconds, flop = 0.0, 0.0
    for (inputs, outputs), count in shapes.items():
        weight = torch.ones(outputs, inputs)
        entering, gradient = torch.ones(tokens, inputs), torch.ones(tokens, outputs)
        forward = _median_seconds(functional.linear, entering, weight)
        backward = _median_seconds(torch.matmul, gradient, weight)
        seconds += count * (forward + backward)
        flop += count * 4.0 * tokens * inputs * outputs
    return flop / seconds / 1e9


def _median_seconds(product: Callable[..., Any], left: Any, right: Any) -> float:
    taken = []
    for _ in range(WARM_UP + REPEATS):
        started = time.perf_counter()
        product(left, right)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[WARM_UP:])
