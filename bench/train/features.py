"""A frozen backbone's outputs, computed once an example: training computes only the head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from bench.profiles import Profile
from bench.train.batches import sorted_batches
from bench.train.data import Batch, Encoded
from bench.train.model import backbone, dropouts

LIMIT_BYTES = 2**30  # of features; a fixed number, so that a method's memory is the same on every machine


class Features:
    """The backbone's outputs for all examples of one training.

        with features.of(indices):
            loss(model(**inputs)).backward()  # the backbone is not computed

    They stay on the model's device, without padding, and only those that the head reads.
    """

    def __init__(self, model: Any, data: Encoded, profile: Profile) -> None:
        self._model = model
        self._data, self._profile = data, profile
        self._rows: dict[str, list[Tensor]] = {}  # of each output that the head reads, one an example
        self._shapes: dict[str, tuple[int, ...]] = {}  # of each output of the longest example
        self._output: Any = None  # the class of the backbone's output

    def compute(self) -> bool:
        """Compute them, if they fit into LIMIT_BYTES; whether they do."""
        batches = sorted_batches(self._data.lengths, self._profile.micro_batch_size)
        longest = int(self._data.lengths.max())
        read, output = read_by_head(self._model, self._data.batch(batches[0][:1]), self._profile)
        self._output, self._shapes = type(output), {name: tuple(output[name].shape[1:]) for name in output}
        of_tokens = {name for name in read if len(self._shapes[name]) > 1 and self._shapes[name][0] == longest}
        of_example, of_token = row_bytes(read, output, longest)
        if len(self._data) * of_example + int(self._data.lengths.sum()) * of_token > LIMIT_BYTES:
            return False
        self._rows = {name: [torch.empty(0)] * len(self._data) for name in read}
        for indices in batches:
            with torch.no_grad():
                output = _outputs(self._model, self._data.batch(indices), self._profile)[0]
            for name, rows in self._rows.items():
                for index, row in zip(indices, output[name], strict=True):
                    # Copies: a view would keep the whole batch alive.
                    rows[index] = (row[: self._data.lengths[index]] if name in of_tokens else row).clone()
        return True

    @contextmanager
    def of(self, indices: np.ndarray) -> Iterator[None]:
        """The context for the model's forward and backward pass on these examples."""
        with _in_place(self._model, lambda *args, **kwargs: self._padded(indices)):
            yield

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [row for rows in self._rows.values() for row in rows]

    def compute_largest_batch(self) -> None:
        """Compute the batch of `compute` that takes the most memory once more."""
        indices = sorted_batches(self._data.lengths, self._profile.micro_batch_size)[0]
        with torch.no_grad():
            _outputs(self._model, self._data.batch(indices), self._profile)

    def _padded(self, indices: np.ndarray) -> Any:
        """The backbone's output; what the head does not read is zeros that take no memory."""
        zero = torch.zeros((), device=self._profile.device)
        return self._output(
            **{
                name: pad_sequence([self._rows[name][i] for i in indices], batch_first=True)
                if name in self._rows
                else zero.expand(len(indices), *shape)
                for name, shape in self._shapes.items()
            }
        )


def read_by_head(model: Any, batch: Batch, profile: Profile) -> tuple[list[str], Any]:
    """The names of the backbone's outputs that the logits depend on, and the outputs for this batch."""
    output, logits = _outputs(model, batch, profile)
    names = list(output)
    found = torch.autograd.grad(logits.sum(), [output[name] for name in names], allow_unused=True)
    return [name for name, gradient in zip(names, found, strict=True) if gradient is not None], output


def row_bytes(read: list[str], output: Any, length: int) -> tuple[int, int]:
    """Bytes of the features of an example, and of each of its tokens. length: of the batch that gave the output."""
    size = {True: 0, False: 0}
    for tensor in (output[name] for name in read):
        of_tokens = tensor.dim() > 2 and tensor.shape[1] == length
        size[of_tokens] += tensor.numel() * tensor.element_size() // (len(tensor) * (length if of_tokens else 1))
    return size[False], size[True]


def _outputs(model: Any, batch: Batch, profile: Profile) -> tuple[Any, Tensor]:
    """What the backbone gives for a batch, and the logits."""
    found, compute_backbone = [], backbone(model)

    def compute(*args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            output = compute_backbone(*args, **kwargs)
        if torch.is_grad_enabled():
            for tensor in output.values():
                tensor.requires_grad_()
        found.append(output)
        return output

    with _in_place(model, compute), profile.precision():
        logits = model(**batch.to(profile.device).inputs).logits
    return found[0], logits


@contextmanager
def _in_place(model: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Put this in the place of the backbone, with whatever hooks it has."""
    name, before = model.base_model_prefix, backbone(model)
    stand_in = nn.Module()
    stand_in.forward = forward
    setattr(model, name, stand_in)
    try:
        yield
    finally:
        setattr(model, name, before)


def is_fixed(model: Any) -> bool:
    """Whether its backbone's outputs never change: nothing of it trains, and no dropout is on."""
    from transformers import PreTrainedModel  # takes a second, and `plan` imports the loop

    if not isinstance(model, PreTrainedModel) or model.base_model is model:
        return False
    part = backbone(model)
    probabilities = [*dropouts(model.config).values()]
    probabilities += [module.p for module in part.modules() if isinstance(module, nn.Dropout)]
    return not (any(probabilities) or any(parameter.requires_grad for parameter in part.parameters()))


def features_of(model: Any, data: Encoded, profile: Profile) -> Features | None:
    """The features where they change no result and fit into LIMIT_BYTES. Else None."""
    if not is_fixed(model):
        return None
    features = Features(model, data, profile)
    return features if features.compute() else None
