"""One optimiser step of a method, traced on fake tensors: what it computes, and the bytes of tensors alive in it.

The step is the loop's own (`bench.train.loop.TrainState`), so whatever the loop does is in the figures: micro-batches,
autocast, the gradient clip, AdamW's two states per trained scalar. Nothing below the first trained parameter is
differentiated or saved for that, so that the bare head, PASTA and full fine-tuning differ by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.forecast.lengths import Lengths, Shape
from bench.forecast.parameters import on_meta
from bench.forecast.tracing import LiveBytes, fill_meta
from bench.measure.flops import counter
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.plugins.task import TaskContext
from bench.profiles import Profile
from bench.train import kernels, modes
from bench.train.adaptation import Adapted, saved_bytes
from bench.train.data import Batch
from bench.train.features import LIMIT_BYTES, is_fixed, read_by_head, row_bytes
from bench.train.loop import TrainState

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_SAVED_FOR_REAL = 64 * 2**20  # bytes; a larger adapter is not written only to see how large its header is


@dataclass(frozen=True)
class Step:
    """What one optimiser step takes whose batch has given parts.

    flops: of forward and backward pass. eval_flops: of the forward pass alone. tokens: of all parts. model_bytes:
    parameters and buffers of the adapted model. growth_bytes: the most that is alive beside them: what is saved for the
    backward pass, gradients, optimiser states, the batch. trained_bytes: of what is trained. adapter_bytes: of what is
    saved. example_feature_bytes, token_feature_bytes: what is cached for an example and for each of its tokens, where
    the frozen backbone's outputs are cached.
    """

    flops: int
    eval_flops: int
    tokens: int
    model_bytes: int
    growth_bytes: int
    trained_bytes: int
    adapter_bytes: int
    example_feature_bytes: int = 0
    token_feature_bytes: int = 0

    def train_growth(self, at: Lengths, keeps_best: bool) -> int:
        """The most that is alive in a training beside the model.

        With the best point's tensors if it keeps them. Where the backbone's outputs are cached they are computed before
        the first step, which takes the growth, and are alive in the steps, which take little more.
        """
        best = self.trained_bytes * keeps_best
        features = (at.train or 0) * self.example_feature_bytes + at.total * self.token_feature_bytes
        if 0 < features <= LIMIT_BYTES:
            return max(self.growth_bytes, features + best)
        return self.growth_bytes + best


def predict(
    config: PreTrainedConfig,
    method: Method,
    task: TaskContext,
    recipe: Recipe,
    profile: Profile,
    parts: Sequence[Shape],
    longest: Shape | None = None,
) -> Step:
    """Trace one optimiser step whose batch has these parts.

    longest: the batch that takes their place where the backbone's outputs are computed once, before the first step.
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

    def made() -> list[Batch]:
        return [_batch(config, task, part, profile.device) for part in parts]

    def one_step() -> None:
        state.update(made())
        state.optimizer.zero_grad(set_to_none=True)

    with FakeTensorMode(), LiveBytes() as live:
        fill_meta(module, profile.device)
        model_bytes = live.live
        state = TrainState.of(module, adapted.head, task.kind, recipe, profile, 2)
        module.train()
        features = (0, 0)
        if is_fixed(module):
            parts = parts if longest is None else [longest]
            features = row_bytes(*read_by_head(module, made()[0], profile), parts[0].length)
        with counter() as counted:  # it keeps activations alive that checkpointing would free
            one_step()
        live.restart()
        one_step()
        growth = live.peak - model_bytes
        module.eval()
        with torch.no_grad(), counter() as evaluated:
            for batch in made():
                module(**batch.inputs)
    trained = sum(p.numel() * p.element_size() for p in state.trained)
    flops, eval_flops = counted.get_total_flops(), evaluated.get_total_flops()
    tokens = sum(part.tokens for part in parts)
    return Step(flops, eval_flops, tokens, model_bytes, growth, trained, saved, *features)


def adapter_bytes(method: Method, adapted: Adapted) -> int:
    """Bytes of what the method saves; of one of more than 64 MiB the tensors alone, without a file's header.

    The module is filled with real tensors that nothing writes to, which take no memory until something does.
    """
    trained = sum(p.numel() * p.element_size() for p in adapted.module.parameters() if p.requires_grad)
    if trained > _SAVED_FOR_REAL:
        return trained
    fill_meta(adapted.module, "cpu")
    return saved_bytes(method, adapted)


def _batch(config: PreTrainedConfig, task: TaskContext, shape: Shape, device: str) -> Batch:
    """A batch of this shape, without content, as `bench.train.data.Encoded.batch` makes them."""
    size = (shape.batch, shape.length)

    def empty(*size: int, dtype: Any = torch.int64) -> Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    # Tokenizers give segments to the families that embed them.
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (getattr(config, "type_vocab_size", 0) > 1)
    of_tokens = task.kind == "token-classification"
    dtype = torch.float32 if task.kind in ("regression", "multi-label") else torch.int64
    of_labels = (task.num_labels,) if task.kind == "multi-label" else ()
    labels = empty(*size) if of_tokens else empty(shape.batch, *of_labels, dtype=dtype)
    return Batch({name: empty(*size) for name in names}, labels, shape.batch, labels.numel(), shape.tokens)
