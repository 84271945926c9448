"""What a frozen backbone says of an example, computed once and kept: from then on only the head is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.train.model import backbone, dropouts

LIMIT_BYTES = 2**30  # of what is kept; a fixed number, so that a method's memory is the same on every machine


class Features:
    """The backbone's outputs for the examples of one training, kept as the examples come up for the first time.

        with features.parts(indices, lengths)(slice(0, 16)):
            loss(model(**inputs)).backward()  # the backbone is not computed where all of these have come up before

    Kept on the model's device, without padding, and only what the head reads: the first backward pass tells. After
    LIMIT_BYTES nothing more is kept, and what was not is computed each time.
    """

    def __init__(self, backbone: nn.Module, examples: int) -> None:
        self._backbone = backbone
        self._kept: list[dict[str, Tensor] | None] = [None] * examples
        self._read: frozenset[str] | None = None  # names of the outputs that the head reads; None: not known yet
        self._form: dict[str, tuple[int, ...]] = {}  # name -> the output's shape behind [batch], 0 for the length
        self._output: Any = None  # the class of the backbone's output
        self._room = LIMIT_BYTES

    def parts(self, indices: np.ndarray, lengths: np.ndarray) -> Callable[[slice], AbstractContextManager[None]]:
        """For each part of a batch, the context in which the model is called on it and run backwards.

        Args:
            indices: of the batch's examples, [batch].
            lengths: tokens an example, [batch]; the batch is padded on the right to the longest.
        """
        return lambda part: self._of(indices[part], lengths[part], int(lengths.max()))

    @contextmanager
    def _of(self, indices: np.ndarray, lengths: np.ndarray, width: int) -> Iterator[None]:
        rows = [row for i in indices if (row := self._kept[i]) is not None]
        compute = self._backbone.forward
        fresh: dict[str, Tensor] = {}

        def forward(*args: Any, **kwargs: Any) -> Any:
            if len(rows) == len(indices):
                return self._padded(rows, width)
            with torch.no_grad():
                output = compute(*args, **kwargs)
            fresh.update(output.items())
            self._output = type(output)
            if self._read is None:
                for tensor in fresh.values():
                    tensor.requires_grad_()
            return output

        self._backbone.forward = forward  # an attribute of this one module, before its class's method
        try:
            yield
        finally:
            del self._backbone.forward
        if fresh:
            self._keep(indices, lengths, width, fresh)

    def _keep(self, indices: np.ndarray, lengths: np.ndarray, width: int, outputs: dict[str, Tensor]) -> None:
        if self._read is None:
            self._read = frozenset(name for name, tensor in outputs.items() if tensor.grad is not None)
            self._form = {
                name: (0 if tensor.dim() > 2 and tensor.shape[1] == width else tensor.shape[1], *tensor.shape[2:])
                for name, tensor in outputs.items()
            }
        for at, (index, length) in enumerate(zip(indices, lengths, strict=True)):
            if self._kept[index] is not None:
                continue
            row = {
                name: (outputs[name][at, :length] if self._form[name][0] == 0 else outputs[name][at]).detach()
                for name in self._read
            }
            size = sum(tensor.numel() * tensor.element_size() for tensor in row.values())
            if size <= self._room:
                # Copies: a view would keep the whole batch alive.
                self._kept[index] = {name: tensor.clone() for name, tensor in row.items()}
                self._room -= size

    def _padded(self, rows: list[dict[str, Tensor]], width: int) -> Any:
        """The backbone's output for examples that are kept; what the head does not read is zeros that take no room."""
        assert self._read is not None
        parts = {}
        for name, form in self._form.items():
            if name in self._read:
                parts[name] = torch.stack([row[name] if form[0] else _padded_to(row[name], width) for row in rows])
            else:
                nothing = torch.zeros((), device=next(self._backbone.parameters()).device)
                parts[name] = nothing.expand(len(rows), form[0] or width, *form[1:])
        return self._output(**parts)


def _padded_to(states: Tensor, width: int) -> Tensor:
    """[length, hidden] with zeros below, up to [width, hidden]."""
    return functional.pad(states, (0, 0, 0, width - len(states)))


def of_frozen(model: Any, examples: int) -> Features | None:
    """A keeper of features, where keeping them changes nothing; else None.

    That is where nothing of the backbone trains and it says the same of an example each time: no dropout is on.
    """
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel) or model.base_model is model:
        return None
    part = backbone(model)
    chances = [*dropouts(model.config).values()]
    chances += [module.p for module in part.modules() if isinstance(module, nn.Dropout)]
    if any(chances) or any(parameter.requires_grad for parameter in part.parameters()):
        return None
    return Features(part, examples)
