"""How a head for whole texts reads the backbone's states, where that is not left to the model."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bench.plugins.task import Pooling

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def remove_pooler(model: PreTrainedModel) -> None:
    """Take the backbone's own pooler out, where it has one: a head that reads pooled states skips it.

    Before a method is applied, so that nothing of it trains, counts or is saved.
    """
    from torch import nn

    if isinstance(getattr(model.base_model, "pooler", None), nn.Module):
        model.base_model.pooler = nn.Identity()  # not None, which not every family's code looks for


def pool(model: PreTrainedModel, pooling: Pooling) -> None:
    """Let the head read pooled states alone: the mean over a text's tokens, or the state of its first one.

    After a method is applied, so that a wrapper which puts virtual tokens before the text's has removed their states.
    """
    model.base_model.register_forward_hook(partial(_pooled, pooling), with_kwargs=True)


def _pooled(pooling: Pooling, backbone: nn.Module, args: object, kwargs: dict[str, Any], output: Any) -> Any:
    """The backbone's output with one state a text, both as its pooled output and as its only position.

    Heads read the pooled output or the first position; one that averages over positions gets the same state.
    """
    states: Tensor = output.last_hidden_state
    mask: Tensor | None = kwargs.get("attention_mask")
    if pooling == "cls":
        pooled = states[:, 0]
    elif mask is None:
        pooled = states.mean(1)
    else:
        real = mask.unsqueeze(-1).to(states.dtype)
        pooled = (states * real).sum(1) / real.sum(1)
    fields = {**output, "last_hidden_state": pooled.unsqueeze(1)}
    if "pooler_output" in type(output).__dataclass_fields__:
        fields["pooler_output"] = pooled
    return type(output)(**fields)
