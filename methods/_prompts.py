"""Putting trained virtual tokens before a frozen encoder, by PEFT's prompt-learning configs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def prompt(model: PreTrainedModel, config: Any, name: str) -> None:
    """Put virtual tokens before a model's input, in place, as a PEFT config says.

    They are embeddings before the input (prompt tuning, P-tuning), so that the sequence grows, or keys and
    values before those of each layer (prefix tuning), where it does not. Heads see the text's states alone.

    Raises:
        NotApplicable: for keys and values on a model that does not take them.
    """
    from peft import TaskType, get_peft_model

    from bench.train.model import backbone

    encoder: Any = backbone(model)
    if in_attention(config):
        if "past_key_values" not in inspect.signature(encoder.forward).parameters:
            raise NotApplicable(
                f"{name} puts keys and values before those of each layer, and models of the family "
                f"{model.config.model_type!r} do not take any."
            )
    else:
        # Some families embed tokens in fewer dimensions than their layers have.
        config.token_dim = encoder.get_input_embeddings().embedding_dim
    # PEFT looks for these under the names that most families have them by.
    config.num_layers = encoder.config.num_hidden_layers
    config.num_attention_heads = encoder.config.num_attention_heads
    config.task_type = TaskType.FEATURE_EXTRACTION
    prompted = get_peft_model(encoder, config)
    _Segments(0 if in_attention(config) else config.num_virtual_tokens).attach(prompted, encoder)
    setattr(model, model.base_model_prefix, prompted)


def in_attention(config: Any) -> bool:
    """Whether a prompt-learning config is of keys and values rather than of embeddings."""
    return str(config.peft_type.value) == "PREFIX_TUNING"


class _Segments:
    """Carries the text's segment ids past PEFT, whose model for features drops them.

    Without them the two texts of a pair would look like one. PEFT's models for classification keep them, and
    put zeros before them for virtual tokens, as is done here.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens  # by which the sequence grows
        self.segments: Tensor | None = None  # of the batch that is being looked at

    def attach(self, prompted: nn.Module, encoder: nn.Module) -> None:
        prompted.register_forward_pre_hook(self.take, with_kwargs=True)
        encoder.register_forward_pre_hook(self.give, with_kwargs=True)
        prompted.register_forward_hook(self.drop_prompt)

    def take(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self.segments = kwargs.get("token_type_ids")
        return args, {name: value for name, value in kwargs.items() if name != "token_type_ids"}

    def give(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The text's own segments, behind zeros for the virtual tokens."""
        import torch

        if self.segments is None:
            return args, kwargs
        virtual = self.segments.new_zeros(len(self.segments), self.tokens)
        return args, {**kwargs, "token_type_ids": torch.cat([virtual, self.segments], dim=1)}

    def drop_prompt(self, module: nn.Module, args: object, output: Any) -> Any:
        """Take the virtual tokens' own states off, so that a head for tokens sees the text's alone."""
        output.last_hidden_state = output.last_hidden_state[:, self.tokens :]
        return output
