"""PASTA's parameters, and which vectors they mean on a given model and task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bench.plugins import Params

_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")  # four digits: more layers than any model has, and a short tuple


def _numbers(value: Any) -> Any:
    """`0-2+5` as (0, 1, 2, 5), sorted and each once; numbers are taken as well."""
    if value is None:
        return None
    text = value if isinstance(value, str) else "+".join(map(str, value))
    found: set[int] = set()
    for part in text.split("+"):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError("write layers as numbers and ranges counted from 0, joined by +, such as 0-2+5")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not found:
        raise ValueError("a range of layers runs upwards, such as 0-2")
    return tuple(sorted(found))


class PastaParams(Params):
    """tokens: which special tokens get vectors; cls is the first one of a text, sep all others.

    share_layers: a token's vector is the same in all layers. share_slots: a layer's vector is the same for all its
    special tokens. layers: those that get vectors, counted from 0 (`0-2+5`); None: all.
    init_std and dropout default to the model's own initializer_range and hidden dropout, as in the authors' code.
    """

    tokens: Literal["all", "cls", "sep"] = "all"
    share_layers: bool = False
    share_slots: bool = False
    layers: Annotated[tuple[int, ...] | None, BeforeValidator(_numbers)] = None
    init_std: float | None = Field(None, ge=0)
    dropout: float | None = Field(None, ge=0, lt=1)


@dataclass(frozen=True)
class Layout:
    """Where vectors are added, and which of them are one and the same.

    layers: the layers that have vectors, counted from 0. slots: the special tokens that have one, by their
    occurrence in a text, counted from 0 (`[CLS] A [SEP] B [SEP]` has the occurrences 0, 1, 2). hidden: width
    of the hidden state.
    """

    layers: tuple[int, ...]
    slots: tuple[int, ...]
    hidden: int
    share_layers: bool
    share_slots: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the parameters: [layers or 1, slots or 1, hidden]."""
        return (1 if self.share_layers else len(self.layers), 1 if self.share_slots else len(self.slots), self.hidden)

    @property
    def count(self) -> int:
        """Trainable scalars: slots x layers x hidden (PASTA, section 3), less what is shared."""
        layers, slots, hidden = self.shape
        return layers * slots * hidden


def layout(params: PastaParams, config: Any, template: Sequence[int]) -> Layout:
    """The vectors for a model of this configuration and inputs framed by these special tokens.

    Args:
        template: ids of the special tokens of a full input, in order.

    Raises:
        UnsupportedModel: for a model family that is not known.
        ValueError: for a layer that the model does not have, or where no token is left.
    """
    from methods.pasta.families import family_of

    depth = family_of(config).depth(config)
    layers = tuple(range(depth)) if params.layers is None else params.layers
    if layers[-1] >= depth:
        raise ValueError(f"layers={layers[-1]}: this model has {depth} layers, counted from 0.")
    is_cls = [token == template[0] for token in template]
    wanted = {"all": (True, False), "cls": (True,), "sep": (False,)}[params.tokens]
    slots = tuple(slot for slot, first in enumerate(is_cls) if first in wanted)
    if not slots:
        raise ValueError(f"tokens={params.tokens}: this tokenizer frames texts with no such token.")
    return Layout(layers, slots, config.hidden_size, params.share_layers, params.share_slots)
