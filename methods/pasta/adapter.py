"""PASTA on a model of your own, without the harness.

    from methods import pasta

    pasta.attach(model, tokenizer)           # freezes the backbone; the vectors and the head train
    ...                                      # a plain loop, or transformers' Trainer
    pasta.save(model, "my-adapter")          # tens of KB; pasta.load(model, "my-adapter") gets it back bit for bit

One backbone takes many adapters: load each under a name, and choose with `pasta.use(model, "mrpc")`, or for
one call with `model(**inputs, adapters=...)`: a name, or one name or index an example.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.errors import first_error
from bench.plugins.method import fill, write_tensors
from bench.train.model import base_name, draw_head, special_tokens
from methods.pasta.attachment import Attachment, Choice, attachment, trained_head
from methods.pasta.families import family_of
from methods.pasta.params import PastaParams
from methods.pasta.vectors import SpecialTokenVectors

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WEIGHTS, ABOUT = "adapter.safetensors", "adapter.json"
FORMAT = 1
DEFAULT = "default"


class Base(BaseModel):
    """The model that an adapter was trained on; revision: the hub's commit, where it came from there."""

    name: str
    revision: str | None
    model_type: str
    hidden_size: int = Field(ge=1)
    layers: int = Field(ge=1)


class Saved(BaseModel):
    """`adapter.json`: what the tensors beside it are.

    special_ids: the special tokens of a full input, in order. slots and layers: those that have vectors, counted
    from 0. num_labels: outputs of the saved head; None: no head was saved. pooling: that it was trained with.
    """

    method: str = Field("pasta", pattern="^pasta$")
    format: int = Field(FORMAT, ge=1, le=FORMAT)
    params: PastaParams
    base: Base
    special_ids: tuple[int, ...] = Field(min_length=1)
    slots: tuple[int, ...] = Field(min_length=1)
    layers: tuple[int, ...] = Field(min_length=1)
    num_labels: int | None = Field(None, ge=1)
    pooling: str = "model"


def attach(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    pair: bool = False,
    name: str = DEFAULT,
    num_labels: int | None = None,
    **params: Any,
) -> PreTrainedModel:
    """Put PASTA on a model, in place: everything is frozen, then this adapter's vectors and its head train.

    Args:
        model: any encoder of `FAMILIES`, with or without a head.
        pair: whether inputs are pairs of texts, which have one or two more separators.
        name: of the adapter. The first one trains the model's own head, a further one a new head of its own.
        num_labels: outputs of a further adapter's head; None: as many as the model's own has.
        params: those of the method: tokens, share_layers, share_slots, layers, init_std, dropout.

    Raises:
        UnsupportedModel: for a model that PASTA cannot be put on.
        ValueError: for wrong parameters, or a name that is taken.
    """
    template = special_tokens(tokenizer, pair)
    if not template:
        raise ValueError("This tokenizer puts no special tokens around a text, so there is nothing to adapt.")
    add(model, template, PastaParams(**params), name=name, num_labels=num_labels)
    attachment(model).check_next = True
    return model


def add(
    model: PreTrainedModel,
    template: Sequence[int],
    params: PastaParams,
    *,
    name: str = DEFAULT,
    num_labels: int | None = None,
) -> PreTrainedModel:
    """`attach` where the special tokens are known: template holds their ids in a full input, in order."""
    vectors = SpecialTokenVectors(params, model.config, template)
    head = _further_head(model, num_labels)
    if head is None and num_labels not in (None, model.config.num_labels):
        raise ValueError(f"The first adapter takes the model's own head, which has {model.config.num_labels} labels.")
    _add_adapter(model, name, vectors, head)
    model.requires_grad_(False)
    for parameter in _parameters(model, vectors, head).values():
        parameter.requires_grad_(True)
    return model


def use(model: PreTrainedModel, choice: Choice) -> None:
    """Choose the adapter: a name, one name or index an example of each batch to come, or None for the base model.

    Indices count the adapters in the order in which they were put on the model (`names`). For one call
    alone, give the choice to the model as the keyword `adapters`.
    """
    attachment(model).use(choice)


def names(model: PreTrainedModel) -> list[str]:
    """The adapters of a model, in the order of their indices."""
    return list(attachment(model).adapters)


def save(model: PreTrainedModel, folder: str | Path, name: str | None = None) -> None:
    """Write an adapter, with its head where it has one: `adapter.safetensors` and `adapter.json`.

    name: which; None: the only one there is.
    """
    attached = attachment(model)
    if name is None and len(attached.adapters) > 1:
        raise ValueError(f"Give the name of the adapter to save; there are: {', '.join(attached.adapters)}.")
    name = next(iter(attached.adapters)) if name is None else name
    vectors, head = attached.adapter(name), attached.head(name)
    parameters = _parameters(model, vectors, head)
    about = Saved(
        params=vectors.params,
        base=_base(model),
        special_ids=vectors.template,
        slots=vectors.layout.slots,
        layers=vectors.layout.layers,
        num_labels=_output_layer(model, head).out_features if len(parameters) > 1 else None,
    )
    folder = Path(folder)
    write_tensors({key: parameter.cpu() for key, parameter in parameters.items()}, folder / WEIGHTS)
    (folder / ABOUT).write_text(about.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load(model: PreTrainedModel, folder: str | Path, name: str = DEFAULT) -> PreTrainedModel:
    """Put a saved adapter on a model, or into the adapter of that name, and use it.

    What is put on newly is frozen. The first adapter's head goes into the model's own, which must have as many
    labels; a further one brings its own.

    Raises:
        ValueError: if there is no adapter in the folder, or it does not fit the model; the model is as before.
    """
    about, tensors = _read(Path(folder))
    _require_fit(model, about, folder)
    attached: Any = getattr(model.base_model, "pasta", None)
    exists = attached is not None and name in attached.adapters
    if not exists and about.pooling != "model":
        raise ValueError(
            f"The adapter in {folder} was trained with {about.pooling} pooling, which this model does not have: put it "
            "on with `bench.train.adaptation.restore`."
        )
    if exists:
        vectors, head = attached.adapter(name), attached.head(name)
        if (vectors.layout.slots, vectors.layout.layers) != (about.slots, about.layers):
            raise ValueError(f"The adapter in {folder} does not fit {name!r}: it adapts other tokens or layers.")
    else:
        vectors = SpecialTokenVectors(about.params, model.config, about.special_ids)
        head = _further_head(model, about.num_labels) if about.num_labels else None
    parameters = _parameters(model, vectors, head) if about.num_labels else {"vectors": vectors.vectors}
    fill(parameters, tensors, folder)
    if exists:
        use(model, name)
    else:
        _add_adapter(model, name, vectors, head)
        for parameter in parameters.values():
            parameter.requires_grad_(False)
    return model


def _add_adapter(model: PreTrainedModel, name: str, vectors: SpecialTokenVectors, head: nn.ModuleDict | None) -> None:
    if not name or "." in name or hasattr(nn.ModuleDict, name):
        raise ValueError(f"{name!r} cannot be an adapter's name: it must not hold a dot or be a word of torch's.")
    attached = getattr(model.base_model, "pasta", None) or Attachment(model, vectors.template)
    attached.add(name, vectors.to(model.device), None if head is None else head.to(model.device))


def _parameters(model: PreTrainedModel, vectors: SpecialTokenVectors, head: nn.ModuleDict | None) -> dict[str, Tensor]:
    """What an adapter consists of, by the names of the saved tensors."""
    parts = trained_head(model) if head is None else dict(head.items())
    heads = {f"head.{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.named_parameters()}
    return {"vectors": vectors.vectors, **heads}


def _further_head(model: PreTrainedModel, num_labels: int | None) -> nn.ModuleDict | None:
    """A newly drawn copy of the model's head for an adapter beside the first; None where there is none to copy."""
    attached = getattr(model.base_model, "pasta", None)
    if attached is None or not len(attached.adapters) or not trained_head(model):
        return None
    head: nn.ModuleDict = attached.copy_of_head(model)
    last = _output_layer(model, head)
    if num_labels not in (None, last.out_features):
        last.out_features = num_labels
        last.weight = nn.Parameter(last.weight.new_empty(num_labels, last.in_features))
        last.bias = None if last.bias is None else nn.Parameter(last.bias.new_empty(num_labels))
    draw_head(head.values(), model.config)
    return head


def _output_layer(model: PreTrainedModel, head: nn.ModuleDict | None) -> Any:
    """The head's last linear layer: the one that gives the labels."""
    parts = trained_head(model).values() if head is None else head.values()
    return [module for part in parts for module in part.modules() if isinstance(module, nn.Linear)][-1]


def _base(model: PreTrainedModel) -> Base:
    config = model.config
    return Base(
        name=base_name(config),
        revision=getattr(config, "_commit_hash", None),
        model_type=config.model_type,
        hidden_size=config.hidden_size,
        layers=family_of(config).depth(config),
    )


def _read(folder: Path) -> tuple[Saved, dict[str, Tensor]]:
    try:
        about = Saved.model_validate_json((folder / ABOUT).read_bytes())
        return about, load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        missing = Path(error.filename or WEIGHTS).name
        raise ValueError(f"There is no PASTA adapter in {folder}: it has no {missing}.") from None
    except ValidationError as error:
        where, what = first_error(error)
        raise ValueError(f"{folder / ABOUT} is wrong at {where!r}: {what}.") from None
    except (OSError, SafetensorError) as error:
        raise ValueError(f"The adapter in {folder} cannot be read: {error}.") from None


def _require_fit(model: PreTrainedModel, about: Saved, folder: str | Path) -> None:
    mine, its = _base(model), about.base
    for what in ("model_type", "hidden_size", "layers"):
        if getattr(mine, what) != getattr(its, what):
            raise ValueError(
                f"The adapter in {folder} does not fit this model: it was trained on {its.name}, whose {what} is "
                f"{getattr(its, what)}, and this model's is {getattr(mine, what)}."
            )
