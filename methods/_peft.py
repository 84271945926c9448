"""Puts a config of the PEFT library on a model, and saves it in PEFT's format, for the methods built on PEFT."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from bench.plugins import Method, NotApplicable
from bench.plugins.method import fill, write_tensors
from bench.train.model import base_name, head_modules
from bench.train.pooling import pools_states

if TYPE_CHECKING:
    from torch import Tensor


def _split(value: Any) -> Any:
    return tuple(value.split("+")) if isinstance(value, str) else value


# Lists on the command line: `targets=query+value`.
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_split)]


CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # PEFT's names


class PeftMethod(Method):
    """A method built on PEFT. Saved in PEFT's own format, head included, where PEFT would predict the same from it.

    `PeftModel.from_pretrained(base_with_head, folder)` then gives the same logits. Elsewhere (see `_tensors`) the files
    are those of every other method, which PEFT refuses.
    """

    def save(self, model: Any, folder: Path) -> None:
        tensors = _tensors(model)
        if tensors is None:
            super().save(model, folder)
            return
        # Copies, since a file cannot say that layers share a tensor.
        write_tensors({name: tensor.detach().clone() for name, tensor in tensors.items()}, folder / WEIGHTS)
        text = json.dumps(_config_of(model), indent=2, sort_keys=True, default=sorted)  # sets, of names
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
        self.describe(folder)

    def load(self, model: Any, folder: Path) -> None:
        from safetensors.torch import load_file

        if not (folder / WEIGHTS).exists():
            super().load(model, folder)
            return
        tensors = _tensors(model)
        if tensors is None:
            raise ValueError(f"The adapter in {folder} is in PEFT's format, which does not fit this model.")
        fill(tensors, load_file(folder / WEIGHTS), folder)


def _tensors(model: Any) -> dict[str, Tensor] | None:
    """The model's own tensors that PEFT saves, the head's included, by their names in PEFT's file.

    None where PEFT would predict otherwise from them, cannot save a head with this config, or saves what was trained
    in another form (of a reparametrised prompt, the result alone).
    """
    from peft.utils import get_peft_model_state_dict

    encoder, prefix = model.base_model, model.base_model_prefix
    (config,) = encoder.peft_config.values()
    if not hasattr(config, "modules_to_save") or not _predicts_alike(model, config):
        return None
    if config.is_prompt_learning:
        inside, found = "base_model.", {"prompt_embeddings": encoder.prompt_encoder["default"].embedding.weight}
    else:
        inside, state = "base_model.model.", encoder.state_dict(keep_vars=True)
        saved = get_peft_model_state_dict(encoder, state, save_embedding_layers=False)
        # On PEFT's own model, what all layers share is beside the encoder, not in it.
        shared = {name for name in saved if name.startswith("base_model.") and not name.startswith(inside)}
        found = {
            name if name in shared else f"{inside}{prefix}.{name.removeprefix(inside)}": tensor
            for name, tensor in saved.items()
        }
    for name, part in head_modules(model).items():
        found |= {f"{inside}{name}.{key}": tensor for key, tensor in part.state_dict(keep_vars=True).items()}
    own = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    return found if trained <= {id(tensor) for tensor in found.values()} <= own else None


def _predicts_alike(model: Any, config: Any) -> bool:
    """Whether PEFT's model for the task gives the harness's logits from the same tensors.

    Virtual tokens before the text move its first token, which a head reads unless the backbone's pooler does, and PEFT
    gives logits for them too.
    """
    from torch import nn

    has_pooler = isinstance(getattr(model.base_model, "pooler", None), nn.Module)
    prompt = config.is_prompt_learning and not _is_prefix(config)
    return not pools_states(model) and not (prompt and (_task_type(model) == "TOKEN_CLS" or not has_pooler))


def _task_type(model: Any) -> str:
    return "TOKEN_CLS" if type(model).__name__.endswith("ForTokenClassification") else "SEQ_CLS"


def _config_of(model: Any) -> dict[str, Any]:
    """PEFT's config for the whole model, with the head's parts among `modules_to_save`."""
    (config,) = model.base_model.peft_config.values()
    about = config.to_dict()
    if isinstance(targets := about.get("target_modules"), str):  # a pattern, of whole names
        about["target_modules"] = rf"{model.base_model_prefix}\.(?:{targets})"
    return {
        **about,
        "base_model_name_or_path": base_name(model.config).removeprefix("hub:").partition("@")[0],
        "inference_mode": True,
        "modules_to_save": [name for name, part in head_modules(model).items() if part.state_dict()],
        "task_type": _task_type(model),
    }


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

    encoder, is_prefix = model.base_model, _is_prefix(config)
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


def _is_prefix(config: Any) -> bool:
    return str(config.peft_type.value) == "PREFIX_TUNING"


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
