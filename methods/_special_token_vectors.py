"""The module behind `pasta`: one trainable vector per special-token slot and layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class SpecialTokenVectors(nn.Module):
    """Adds e(v_p) to the hidden state of the p-th special token before each layer's self-attention.

    PASTA, section 3: h_i becomes h_i + e(v_p) where token i is the p-th special token of its sequence,
    and stays as it is elsewhere. What a layer receives includes what its residual connection carries, so
    the vectors are added to the layer's input as a whole, as in the authors' code.

    Slots count occurrences: the p-th special token of a sequence belongs to slot p, whichever token it
    is. A sequence with fewer special tokens than slots uses the first slots; one with more leaves the
    rest unchanged. Padding is no special token.

    Args:
        layers: number of encoder layers.
        slots: number of special tokens in a full input of the task.
        hidden: width of the hidden state.
        special_ids: token ids that count as special.
        std: standard deviation of the initial vectors.
        dropout: probability with which an element of an added vector is dropped, drawn for each example.
    """

    special_ids: Tensor

    def __init__(
        self, layers: int, slots: int, hidden: int, special_ids: Sequence[int], std: float, dropout: float
    ) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(layers, slots, hidden))
        nn.init.normal_(self.vectors, std=std)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("special_ids", torch.tensor(sorted(set(special_ids))), persistent=False)
        self._positions: Tensor | None = None
        self._present: Tensor | None = None

    def find_slots(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Where each slot's token stands in each sequence of a batch.

        Args:
            input_ids: [batch, length], int64.

        Returns:
            positions [batch, slots], int64, and whether the slot occurs [batch, slots], bool. A slot that
            does not occur points at position 0, and nothing may be added there.
        """
        slots = self.vectors.shape[1]
        special = torch.isin(input_ids, self.special_ids)
        occurrence = special.cumsum(dim=1)  # 1 at the first special token and up to the second, and so on
        wanted = torch.arange(1, slots + 1, device=input_ids.device)
        hit = special.unsqueeze(1) & (occurrence.unsqueeze(1) == wanted[:, None])  # [batch, slots, length]
        # The argmax of a 0/1 row is the place of its 1, or 0 where there is none.
        return hit.to(torch.uint8).argmax(dim=2), hit.any(dim=2)

    def attach(self, backbone: nn.Module, layers: Sequence[nn.Module]) -> None:
        """Hook into a backbone: look at its input ids once a call, add at the entrance of each layer."""
        backbone.register_forward_pre_hook(self._look, with_kwargs=True)
        for index, layer in enumerate(layers):
            layer.register_forward_pre_hook(self._adder(index), with_kwargs=True)

    def _look(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        input_ids = args[0] if args else kwargs.get("input_ids")
        if input_ids is None:
            raise ValueError("PASTA finds special tokens by their ids: call the model with input_ids.")
        self._positions, self._present = self.find_slots(input_ids)

    def _adder(self, index: int) -> Any:
        def add(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if args:
                return (self(args[0], index), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": self(kwargs["hidden_states"], index)}

        return add

    def forward(self, hidden: Tensor, layer: int) -> Tensor:
        """[batch, length, hidden] with this layer's vectors added at the slots found last."""
        assert self._positions is not None
        assert self._present is not None
        added = self.dropout(self.vectors[layer].to(hidden.dtype) * self._present.unsqueeze(2).to(hidden.dtype))
        rows = torch.arange(hidden.shape[0], device=hidden.device).unsqueeze(1)
        # index_put rather than scatter_add: it has a deterministic implementation on CUDA as well.
        return hidden.index_put((rows, self._positions), added, accumulate=True)
