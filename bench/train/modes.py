"""Gradient checkpointing and torch.compile on an adapted model, as the profile asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from transformers import Cache, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from bench.errors import NotApplicable, first_line
from bench.profiles import Profile
from bench.train.failures import is_out_of_memory
from bench.train.model import backbone


def install(module: nn.Module, profile: Profile) -> None:
    """Set an adapted model up as the profile says, in place.

    Raises:
        NotApplicable: where the model does not support it.
    """
    if profile.gradient_checkpointing:
        _checkpoint(module)
    if profile.compile:
        _compile(module)


def _checkpoint(module: nn.Module) -> None:
    """Keep only each layer's input for the backward pass, which computes the rest of the layer again.

    Raises:
        NotApplicable: for a family without support; for keys and values from outside, when a layer is given some.
    """
    model = _outermost(module)
    # The first is transformers' name for it since 5.20 or so.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False})
    except ValueError:
        raise NotApplicable(
            f"gradient_checkpointing: models of the family {model.config.model_type!r} do not support it."
        ) from None
    # transformers makes the embeddings require gradients, which only reentrant checkpointing needs: the backward pass
    # would go down to them, whatever trains.
    model.disable_input_require_grads()
    for part in module.modules():
        if isinstance(part, GradientCheckpointingLayer | PreTrainedModel):  # GPT-2 itself drops them
            part.register_forward_pre_hook(_refuse_cache, with_kwargs=True)


def _refuse_cache(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A layer that is checkpointed drops the keys and values that it is given, with no more than a log entry."""
    if any(isinstance(value, Cache) for value in (*args, *kwargs.values())):
        raise NotApplicable(
            "gradient_checkpointing: it does not work with keys and values that a method puts before a layer's own, "
            "as prefix tuning does."
        )


def _compile(module: nn.Module) -> None:
    """Compile the model for batches of any size.

    Raises:
        NotApplicable: where nothing of the backbone trains: its outputs are cached, outside what could be compiled.
    """
    if not any(parameter.requires_grad for parameter in backbone(_outermost(module)).parameters()):
        raise NotApplicable("compile: only the head trains, on cached outputs of the backbone, which are not compiled.")
    module.compile(dynamic=True)


def _outermost(module: nn.Module) -> PreTrainedModel:
    return next(part for part in module.modules() if isinstance(part, PreTrainedModel))


@contextmanager
def refusing_uncompilable(profile: Profile, started: Callable[[], bool]) -> Iterator[None]:
    """Raise NotApplicable, in one sentence, where torch.compile, if the profile has it, fails on what is called within.

    started: whether a step was finished; from then on it is an error as any other.
    """
    if not profile.compile:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        if started() or is_out_of_memory(error):
            raise
        cause = first_line(getattr(error, "inner_exception", error))
        raise NotApplicable(f"compile: this model cannot be compiled with this method: {cause}") from error


def uncompiled(profile: Profile) -> AbstractContextManager[object]:
    """A context in which a model runs without its compiled code, whose operations cannot be counted."""
    return torch.compiler.set_stance("force_eager") if profile.compile else nullcontext()
