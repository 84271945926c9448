"""Puts a config of the PEFT library on a model, for the methods built on PEFT."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from bench.plugins import NotApplicable

if TYPE_CHECKING:
    from torch import Tensor


def _split(value: Any) -> Any:
    return tuple(value.split("+")) if isinstance(value, str) else value


# Lists on the command line: `targets=query+value`.
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_split)]


def put(model: Any, config: Any, name: str, option: str = "target_modules") -> None:
    """Put the layers or the virtual tokens of a PEFT config on a model, in place; PEFT marks what trains.

    On the backbone alone: the head is the harness's, and PEFT would keep a copy of it.

    Args:
        name: the method, for error messages. option: its parameter for target modules.

    Raises:
        NotApplicable: where PEFT cannot put this config on this model, in one sentence.
    """
    (_put_prompt if config.is_prompt_learning else _put_layers)(model, config, name, option)


def _put_layers(model: Any, config: Any, name: str, option: str) -> None:
    from peft import TaskType, get_peft_model, inject_adapter_in_model
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    encoder = model.base_model
    wanted = config.target_modules
    if wanted is not None and not isinstance(wanted, str):  # a string is a pattern, or all-linear
        _require_modules(encoder, wanted, name)
    try:
        if getattr(PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type], "uses_shared_state", False):
            # Matrices that all layers share are on PEFT's own model, which therefore has to be the one called.
            config.task_type = TaskType.FEATURE_EXTRACTION
            setattr(model, model.base_model_prefix, get_peft_model(encoder, config))
        else:
            inject_adapter_in_model(config, encoder)
    except (ValueError, TypeError, NotImplementedError) as error:
        family = encoder.config.model_type
        if wanted is None and "target_modules" in str(error):
            raise NotApplicable(
                f"{name}: PEFT has no default target modules for the model family {family!r}; "
                f"name some with {option}=A+B, of: {_linear_names(encoder)}."
            ) from None
        raise NotApplicable(f"{name} cannot be put on this {family} model: {' '.join(str(error).split())}") from None


def _require_modules(encoder: Any, wanted: Iterable[str], name: str) -> None:
    """Raise NotApplicable unless every name is a module's; PEFT accepts a list if one of them is."""
    present = [module for module, _ in encoder.named_modules()]
    for target in sorted(wanted):
        if not any(module == target or module.endswith(f".{target}") for module in present):
            raise NotApplicable(
                f"{name}: the model has no module {target!r}; its linear modules are: {_linear_names(encoder)}."
            )


def _linear_names(encoder: Any) -> str:
    """The last part of the names of all linear layers."""
    from torch import nn

    linear = (name for name, part in encoder.named_modules() if isinstance(part, nn.Linear))
    return ", ".join(sorted({name.rpartition(".")[2] for name in linear}))


def _put_prompt(model: Any, config: Any, name: str, option: str) -> None:
    """Put virtual tokens before the input: embeddings, or keys and values before those of each layer.

    Embeddings (prompt tuning, P-tuning) lengthen the sequence, keys and values (prefix tuning) do not. Heads see the
    text's states alone.
    """
    from peft import TaskType, get_peft_model

    encoder, is_prefix = model.base_model, str(config.peft_type.value) == "PREFIX_TUNING"
    if not is_prefix:
        # Some families embed tokens in fewer dimensions than their layers have.
        config.token_dim = encoder.get_input_embeddings().embedding_dim
    elif "past_key_values" not in inspect.signature(encoder.forward).parameters:
        raise NotApplicable(
            f"{name} puts keys and values before those of each layer, and models of the family "
            f"{model.config.model_type!r} do not take any."
        )
    # PEFT looks for these under the names that most families use.
    config.num_layers = encoder.config.num_hidden_layers
    config.num_attention_heads = encoder.config.num_attention_heads
    config.task_type = TaskType.FEATURE_EXTRACTION
    prompted = get_peft_model(encoder, config)
    _Segments(0 if is_prefix else config.num_virtual_tokens).attach(prompted, encoder)
    setattr(model, model.base_model_prefix, prompted)


class _Segments:
    """Carries the text's segment ids past PEFT, whose model for features drops them.

    Without them the two texts of a pair would look like one. PEFT's models for classification keep them, and put
    zeros before them for virtual tokens, as is done here.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens  # by which the sequence grows
        self.segments: Tensor | None = None  # of the batch that is being computed

    def attach(self, prompted: Any, encoder: Any) -> None:
        prompted.register_forward_pre_hook(self.take, with_kwargs=True)
        encoder.register_forward_pre_hook(self.give, with_kwargs=True)
        prompted.register_forward_hook(self.drop_prompt)

    def take(self, module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self.segments = kwargs.get("token_type_ids")
        return args, {name: value for name, value in kwargs.items() if name != "token_type_ids"}

    def give(self, module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The text's own segments, behind zeros for the virtual tokens."""
        from torch.nn import functional

        if self.segments is None:
            return args, kwargs
        return args, {**kwargs, "token_type_ids": functional.pad(self.segments, (self.tokens, 0))}

    def drop_prompt(self, module: Any, args: object, output: Any) -> Any:
        """Remove the virtual tokens' own states, so that a head for tokens sees the text's alone."""
        output.last_hidden_state = output.last_hidden_state[:, self.tokens :]
        return output
