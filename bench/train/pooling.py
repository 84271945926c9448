"""How a head for whole texts reads the backbone's states, where that is not left to the model.

mean: the mean over the text's tokens; cls: the state of its first one; cls-dense: that state through a dense layer and
tanh of the head's own, as in RoBERTa. The last is for models whose files lack the pooler that their head would read,
such as BERT saved after masked-language training: the layer is drawn, trained, counted and saved with the head.

A decoder's head reads the state of the last token, the only one that has seen the whole text. Here that is the last one
of the attention mask. transformers takes the last one that is not the padding token, which is another one where a text
ends in that token: decoders without a padding token are padded with the one that ends a text.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable, SourceError
from bench.plugins.task import HeadPooling
from bench.train.model import head_modules, is_decoder

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


def add_dense_layer(model: PreTrainedModel) -> None:
    """Put a dense layer, tanh and the head's dropout before the head's only layer.

    Raises:
        SourceError: for a family whose head has other layers.
    """
    from torch import nn

    parts = head_modules(model)
    layers = {name: part for name, part in parts.items() if not isinstance(part, nn.Dropout)}
    name, layer = next(iter(layers.items()))
    if len(layers) > 1 or not isinstance(layer, nn.Linear):
        raise SourceError(
            f"The model {model.config.name_or_path} has no weights for its pooler, which its head for whole texts "
            "would read. Use --pooling cls or --pooling mean, which read its states instead."
        )
    dropout = [copy.deepcopy(part) for part in parts.values() if isinstance(part, nn.Dropout)]
    dense = nn.Linear(layer.in_features, layer.in_features)
    setattr(model, name, nn.Sequential(dense, nn.Tanh(), *dropout, layer))


def pool(model: PreTrainedModel, pooling: HeadPooling) -> None:
    """Let the head read pooled states alone.

    After a method is applied, so that a wrapper which puts virtual tokens before the text's has removed their states.

    Raises:
        NotApplicable: for the first token's state in a decoder.
    """
    if reads_last_token(model):
        if pooling == "cls":
            raise NotApplicable(
                f"pooling=cls: a {model.config.model_type!r} model reads from left to right, so the state of its first "
                "token knows nothing of the text: use model (the last token) or mean."
            )
        _AtEveryPosition().attach(model)
    model.base_model.register_forward_hook(partial(_pooled, pooling), with_kwargs=True)


def pools_states(model: PreTrainedModel) -> bool:
    """Whether `pool` is on a model: no other library's model then predicts the same from its weights."""
    hooks = model.base_model._forward_hooks.values()
    return any(isinstance(hook, partial) and hook.func is _pooled for hook in hooks)


def reads_last_token(model: PreTrainedModel) -> bool:
    """Whether it is a decoder whose head for whole texts scores every position and takes the last token's."""
    from torch import nn

    return is_decoder(model.config) and isinstance(_scores(model), nn.Linear)


def _scores(model: PreTrainedModel) -> Any:
    return getattr(model, "score", None) or getattr(model, "classifier", None)


class _AtEveryPosition:
    """A decoder's head scores every position and then chooses one; here all have the pooled state's logits."""

    def __init__(self) -> None:
        self.length = 0

    def attach(self, model: PreTrainedModel) -> None:
        if model.config.pad_token_id is None:  # without one transformers refuses batches
            model.config.pad_token_id = 0
        model.register_forward_pre_hook(self.take, with_kwargs=True)
        _scores(model).register_forward_hook(self.repeat)

    def take(self, model: nn.Module, args: object, kwargs: dict[str, Any]) -> None:
        self.length = kwargs["input_ids"].shape[1]

    def repeat(self, head: nn.Module, args: object, logits: Tensor) -> Tensor:
        return logits.expand(-1, self.length, -1)


def _pooled(pooling: HeadPooling, backbone: nn.Module, args: object, kwargs: dict[str, Any], output: Any) -> Any:
    """The backbone's output with one state a text, both as its pooled output and as its only position.

    Heads read the pooled output or the first position; one that averages over positions gets the same state.
    """
    states: Tensor = output.last_hidden_state
    mask: Tensor | None = kwargs.get("attention_mask")
    if pooling == "model":  # a decoder
        pooled = states[:, -1] if mask is None else states[range(len(mask)), mask.cumsum(1).argmax(1)]
    elif pooling != "mean":
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
