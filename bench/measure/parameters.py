"""Counts of parameters by tensor identity: the method's, the head's and the backbone's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of scalar parameters.

    base: the model as pretrained, its head included; the denominator of every share.
    trainable: those that train, without the head. head: those of the head that train.
    method: those that the method trains, and frozen parameters and buffers that it added (such as VeRA's random
    projections).
    """

    base: int
    trainable: int
    head: int
    method: int

    @property
    def share_percent(self) -> float:
        """Trainable parameters without the head, in % of the base model's."""
        return 100 * self.trainable / self.base

    @property
    def share_with_head_percent(self) -> float:
        """Trainable parameters with the head, in % of the base model's."""
        return 100 * (self.trainable + self.head) / self.base


class ParameterLedger:
    """Remembers which tensors were there before a method was applied, and counts after.

    A tensor that two modules share counts once.
    """

    def __init__(self, model: nn.Module, head: Iterable[nn.Parameter]) -> None:
        self._before = {id(parameter): parameter for parameter in model.parameters()}
        self._buffers = {id(buffer): buffer for buffer in model.buffers()}  # held, so that no id is reused
        self._head = {id(parameter) for parameter in head}

    def count(self, adapted: nn.Module) -> ParameterCount:
        """Count an adapted model; call it after the head has been set to train."""
        now = {id(parameter): parameter for parameter in adapted.parameters()}
        trainable = {key: parameter for key, parameter in now.items() if parameter.requires_grad}
        added: dict[int, Tensor] = {key: parameter for key, parameter in now.items() if key not in self._before}
        for buffer in adapted.buffers():
            if id(buffer) not in self._buffers and buffer.is_floating_point():  # integers are indices, not weights
                added[id(buffer)] = buffer
        own = {**added, **trainable}
        return ParameterCount(
            base=_scalars(self._before.values()),
            trainable=_scalars(p for key, p in trainable.items() if key not in self._head),
            head=_scalars(p for key, p in trainable.items() if key in self._head),
            method=_scalars(p for key, p in own.items() if key not in self._head),
        )


def _scalars(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)
