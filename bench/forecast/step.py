"""One optimiser step of a method, traced on fake tensors: what it computes and what it keeps in memory.

The step is the loop's own (`bench.train.loop.update`), so whatever the loop does is in the figures: micro-batches,
autocast, the gradient clip, AdamW's two states per trained scalar. Nothing below the first trained parameter is
differentiated or saved for that, so that the bare head, PASTA and full fine-tuning differ by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.forecast.parameters import on_meta
from bench.forecast.tracing import LiveBytes, fill_meta
from bench.measure.flops import counter
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.plugins.task import TaskContext
from bench.profiles import Profile
from bench.train import kernels, modes
from bench.train.adaptation import Adapted, save
from bench.train.data import Batch
from bench.train.loop import TrainState, update

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

STEPS = 2  # the first creates the optimiser's states, so that only the second has them from its start
_SAVED_FOR_REAL = 64 * 2**20  # bytes; a larger adapter is not written only to see how large its header is


@dataclass(frozen=True)
class Shape:
    """The largest batch: how many examples, and tokens of its longest."""

    batch: int
    length: int

    @property
    def tokens(self) -> int:
        return self.batch * self.length

    def parts(self, largest: int) -> Iterator[Shape]:
        """The batch in parts of at most so many examples."""
        for at in range(0, self.batch, largest):
            yield Shape(min(largest, self.batch - at), self.length)


@dataclass(frozen=True)
class Step:
    """What one optimiser step on the largest batch takes.

    flops: of forward and backward pass. eval_flops: of a forward pass of as many examples. model_bytes: parameters
    and buffers of the adapted model. growth_bytes: the most that is alive beside them: what is saved for the backward
    pass, gradients, optimiser states, the batch. adapter_bytes: of what is saved.
    """

    flops: int
    eval_flops: int
    model_bytes: int
    growth_bytes: int
    adapter_bytes: int


def predict(
    config: PreTrainedConfig, method: Method, task: TaskContext, recipe: Recipe, profile: Profile, shape: Shape
) -> Step:
    """Trace one optimiser step on the largest batch.

    profile: its device need not be there: without CUDA in torch, which then cannot even name such tensors, a GPU's
    step is traced with a CPU's operations in the GPU's autocast dtype.

    Raises:
        NotApplicable: as the method's `apply` does.
    """
    if profile.device != "cpu" and not getattr(torch, profile.device).is_available():
        profile = profile.model_copy(update={"device": "cpu"})
    saved = adapter_bytes(method, on_meta(config, method, task, recipe.dropout))
    adapted = on_meta(config, method, task, recipe.dropout)
    module = adapted.module
    kernels.install(module, recipe.masks)
    modes.install(module, profile.model_copy(update={"compile": False}))  # nothing to trace is left of compiled code

    def one_step() -> None:
        parts = [_batch(config, task, part, profile.device) for part in shape.parts(profile.micro_batch_size)]
        update(state, parts, task.kind, profile)
        state.optimizer.zero_grad(set_to_none=True)

    with FakeTensorMode(), LiveBytes() as live:
        fill_meta(module, profile.device)
        model_bytes = live.live
        state = TrainState.of(module, adapted.head, recipe, STEPS)
        module.train()
        with counter() as counted:  # it keeps activations alive that checkpointing would free
            one_step()
        live.restart()
        one_step()
        growth = live.peak - model_bytes
        module.eval()
        with torch.no_grad(), counter() as evaluated:
            module(**_batch(config, task, shape, profile.device).inputs)
    return Step(counted.get_total_flops(), evaluated.get_total_flops(), model_bytes, growth, saved)


def adapter_bytes(method: Method, adapted: Adapted) -> int:
    """Bytes of what the method saves; of one of more than 64 MiB the tensors alone, without a file's header.

    The module is filled with real tensors that nothing writes to, which take no memory until something does.
    """
    trained = sum(p.numel() * p.element_size() for p in adapted.module.parameters() if p.requires_grad)
    if trained > _SAVED_FOR_REAL:
        return trained
    fill_meta(adapted.module, "cpu")
    return save(method, adapted)


def _batch(config: PreTrainedConfig, task: TaskContext, shape: Shape, device: str) -> Batch:
    """A batch of this shape, without content, as `bench.train.data.Encoded.batch` makes them."""
    size = (shape.batch, shape.length)

    def empty(*size: int, dtype: Any = torch.int64) -> Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    # Tokenizers give segments to the families that embed them.
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (getattr(config, "type_vocab_size", 0) > 1)
    of_tokens = task.kind == "token-classification"
    dtype = torch.float32 if task.kind == "regression" else torch.int64
    labels = empty(*size) if of_tokens else empty(shape.batch, dtype=dtype)
    return Batch({name: empty(*size) for name in names}, labels, shape.batch, labels.numel(), shape.tokens)
