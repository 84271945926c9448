"""PASTA's vectors, and where the special tokens stand that they are added to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from methods.pasta.families import family_of
from methods.pasta.params import PastaParams, layout


class SpecialTokenVectors(nn.Module):
    """One adapter: e(v_p) of each layer and slot, drawn from N(0, init_std).

    vectors: [layers, slots, hidden], 1 where layers or slots share. dropout: probability with which an
    element of an added vector is dropped.

    Args:
        config: of the model that they are for.
        template: ids of the special tokens of a full input, in order: one a slot.
    """

    def __init__(self, params: PastaParams, config: Any, template: Sequence[int]) -> None:
        super().__init__()
        self.params = params
        self.template = tuple(template)
        self.layout = layout(params, config, template)
        of_model: float = getattr(config, family_of(config).dropout)
        self.dropout = of_model if params.dropout is None else params.dropout
        self.vectors = nn.Parameter(torch.empty(self.layout.shape))
        nn.init.normal_(self.vectors, std=config.initializer_range if params.init_std is None else params.init_std)

    def at(self, layer: int, slots: Sequence[int]) -> Tensor | None:
        """What this layer adds at these slots: [slots, hidden], zero where a slot has no vector; None: nothing."""
        where = self.layout
        if layer not in where.layers:
            return None
        own = self.vectors[0 if where.share_layers else where.layers.index(layer)]
        if where.share_slots:
            own = own.expand(len(where.slots), -1)
        if tuple(slots) == where.slots:
            return own
        nothing = own.new_zeros(where.hidden)
        return torch.stack([own[where.slots.index(slot)] if slot in where.slots else nothing for slot in slots])


def find_slots(input_ids: Tensor, special_ids: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Where the special tokens of these occurrences stand in each sequence of a batch.

    Occurrences count whichever special token it is: the p-th of a sequence belongs to slot p. Padding is no
    special token.

    Args:
        input_ids: [batch, length], int64.
        special_ids: ids that count as special, [ids], int64.
        slots: occurrences looked for, counted from 0, [slots], int64.

    Returns:
        positions [batch, slots], int64, and whether the occurrence is there [batch, slots], bool. Where it
        is not, the position is 0, and nothing may be added there.
    """
    special = torch.isin(input_ids, special_ids)
    occurrence = special.cumsum(dim=1) - 1  # 0 at the first special token and up to the second, and so on
    hit = special.unsqueeze(1) & (occurrence.unsqueeze(1) == slots[:, None])  # [batch, slots, length]
    # The argmax of a 0/1 row is the place of its 1, or 0 where there is none.
    return hit.to(torch.uint8).argmax(dim=2), hit.any(dim=2)
