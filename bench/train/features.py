"""A frozen backbone's outputs, computed once an example and cached: later epochs compute only the head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.train.model import backbone, dropouts

LIMIT_BYTES = 2**30  # of cached tensors; a fixed number, so that a method's memory is the same on every machine


class FeatureCache:
    """The backbone's outputs for the examples of one training, cached when an example first comes up.

        with cache.part(indices, lengths):
            loss(model(**inputs)).backward()  # the backbone is not computed if all of these have come up before

    They stay on the model's device, without padding, and only those that the head reads: the first backward pass shows
    which. Beyond LIMIT_BYTES nothing more is cached, and what is missing is computed each time.
    """

    def __init__(self, backbone: nn.Module, examples: int) -> None:
        self._backbone = backbone
        self._rows: list[dict[str, Tensor] | None] = [None] * examples
        self._read: frozenset[str] | None = None  # names of the outputs that the head reads; None: not known yet
        self._shapes: dict[str, tuple[int, ...]] = {}  # name -> the output's shape after [batch], 0 for the length
        self._output: Any = None  # the class of the backbone's output
        self._bytes_left = LIMIT_BYTES

    @contextmanager
    def part(self, indices: np.ndarray, lengths: np.ndarray) -> Iterator[None]:
        """The context for the model's forward and backward pass on these examples.

        Args:
            indices: of the examples, [batch].
            lengths: tokens an example, [batch]; they are padded on the right to the longest.
        """
        width = int(lengths.max())
        rows = [row for i in indices if (row := self._rows[i]) is not None]
        compute = self._backbone.forward
        computed: dict[str, Tensor] = {}

        def forward(*args: Any, **kwargs: Any) -> Any:
            if len(rows) == len(indices):
                return self._padded(rows, width)
            with torch.no_grad():
                output = compute(*args, **kwargs)
            computed.update(output.items())
            self._output = type(output)
            if self._read is None:
                for tensor in computed.values():
                    tensor.requires_grad_()
            return output

        self._backbone.forward = forward  # an attribute of this one module, which hides its class's method
        try:
            yield
        finally:
            del self._backbone.forward
        if computed:
            self._add(indices, lengths, width, computed)

    def _add(self, indices: np.ndarray, lengths: np.ndarray, width: int, outputs: dict[str, Tensor]) -> None:
        if self._read is None:
            self._read = frozenset(name for name, tensor in outputs.items() if tensor.grad is not None)
            self._shapes = {
                name: (0 if tensor.dim() > 2 and tensor.shape[1] == width else tensor.shape[1], *tensor.shape[2:])
                for name, tensor in outputs.items()
            }
        for at, (index, length) in enumerate(zip(indices, lengths, strict=True)):
            if self._rows[index] is not None:
                continue
            row = {
                name: (outputs[name][at, :length] if self._shapes[name][0] == 0 else outputs[name][at]).detach()
                for name in self._read
            }
            size = sum(tensor.numel() * tensor.element_size() for tensor in row.values())
            if size <= self._bytes_left:
                # Copies: a view would keep the whole batch alive.
                self._rows[index] = {name: tensor.clone() for name, tensor in row.items()}
                self._bytes_left -= size

    def _padded(self, rows: list[dict[str, Tensor]], width: int) -> Any:
        """The backbone's output for cached examples; what the head does not read is zeros that take no memory."""
        assert self._read is not None
        parts = {}
        for name, shape in self._shapes.items():
            if name in self._read:
                parts[name] = torch.stack([row[name] if shape[0] else _padded_to(row[name], width) for row in rows])
            else:
                zero = torch.zeros((), device=next(self._backbone.parameters()).device)
                parts[name] = zero.expand(len(rows), shape[0] or width, *shape[1:])
        return self._output(**parts)


def _padded_to(states: Tensor, width: int) -> Tensor:
    """[length, hidden] with zeros below, up to [width, hidden]."""
    return functional.pad(states, (0, 0, 0, width - len(states)))


def feature_cache(model: Any, examples: int) -> FeatureCache | None:
    """A cache where it changes no result: nothing of the backbone trains, and no dropout is on. Else None."""
    from transformers import PreTrainedModel  # takes a second, and `plan` imports the loop

    if not isinstance(model, PreTrainedModel) or model.base_model is model:
        return None
    part = backbone(model)
    probabilities = [*dropouts(model.config).values()]
    probabilities += [module.p for module in part.modules() if isinstance(module, nn.Dropout)]
    if any(probabilities) or any(parameter.requires_grad for parameter in part.parameters()):
        return None
    return FeatureCache(part, examples)
