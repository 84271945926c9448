"""Counts of parameters on modules small enough to count on paper."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from bench.measure.parameters import ParameterCount, ParameterLedger


class Model(nn.Module):
    """A body of 3 x 4 + 4 = 16 and a head of 4 x 2 + 2 = 10."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)


def frozen(model: Model) -> ParameterLedger:
    model.requires_grad_(False)
    return ParameterLedger(model, model.head.parameters())


def trains(*names: str) -> Callable[[Model], None]:
    return lambda model: [model.get_parameter(name).requires_grad_(True) for name in names]  # type: ignore[return-value]


def adds_a_layer(model: Model, frozen_weight: bool = False) -> None:
    model.added = nn.Linear(3, 5)
    model.added.weight.requires_grad_(not frozen_weight)


def replaces_the_head(model: Model) -> None:
    model.head = nn.Linear(4, 3)


@pytest.mark.parametrize(
    ("change", "trainable", "head", "method"),
    [
        (trains(), 0, 0, 0),
        (trains("head.weight", "head.bias"), 0, 10, 0),
        (trains("head.weight"), 0, 8, 0),
        (trains("body.bias", "head.weight", "head.bias"), 4, 10, 4),
        (adds_a_layer, 20, 0, 20),
        (lambda model: adds_a_layer(model, frozen_weight=True), 5, 0, 20),  # as VeRA's shared random matrices
        (replaces_the_head, 15, 0, 15),  # it is no longer the head that was counted
        (lambda model: model.requires_grad_(True), 16, 10, 16),
    ],
)
def test_counts_by_hand(change: Callable[[Model], None], trainable: int, head: int, method: int) -> None:
    model = Model()
    ledger = frozen(model)
    change(model)
    count = ledger.count(model)
    assert count == ParameterCount(base=26, trainable=trainable, head=head, method=method)
    assert ledger.count(nn.Sequential(model)) == count  # a wrapper changes nothing
    assert count.share_percent == pytest.approx(100 * trainable / 26)
    assert count.share_with_head_percent == pytest.approx(100 * (trainable + head) / 26)


def test_what_a_method_leaves_out_is_not_counted() -> None:
    model = Model()
    ledger = frozen(model)
    model.requires_grad_(True)
    assert ledger.count(model.body) == ParameterCount(base=26, trainable=16, head=0, method=16)


def test_a_shared_tensor_counts_once() -> None:
    model = Model()
    model.twin = nn.Linear(3, 4)
    model.twin.weight = model.body.weight
    ledger = frozen(model)
    model.body.weight.requires_grad_(True)
    model.added = nn.Module()
    model.added.weight = model.body.weight  # added, but no new tensor
    assert ledger.count(model) == ParameterCount(base=26 + 4, trainable=12, head=0, method=12)


def test_float_buffers_that_a_method_adds_are_counted_and_integer_ones_are_not() -> None:
    model = Model()
    model.body.register_buffer("of_the_base", torch.zeros(7))
    ledger = frozen(model)
    model.norm = nn.BatchNorm1d(4, affine=False)  # a running mean and variance, and a count of batches
    model.twin = nn.Module()
    model.twin.register_buffer("shared", model.norm.running_mean)
    assert ledger.count(model) == ParameterCount(base=26, trainable=0, head=0, method=8)
