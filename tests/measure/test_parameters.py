"""The parameter ledger on modules small enough to count on paper."""

import pytest
import torch
from torch import nn

from bench.measure.parameters import ParameterCount, ParameterLedger


class Model(nn.Module):
    """A body of 3 x 4 + 4 = 16 and a head of 4 x 2 + 2 = 10."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)


def frozen() -> tuple[Model, ParameterLedger]:
    model = Model()
    model.requires_grad_(False)
    return model, ParameterLedger(model, model.head.parameters())


def test_nothing_trains() -> None:
    model, ledger = frozen()
    assert ledger.count(model) == ParameterCount(base=26, trainable=0, head=0, method=0)


def test_the_head_is_counted_apart() -> None:
    model, ledger = frozen()
    model.head.requires_grad_(True)
    count = ledger.count(model)
    assert count == ParameterCount(base=26, trainable=0, head=10, method=0)
    assert count.share_percent == 0
    assert count.share_with_head_percent == pytest.approx(100 * 10 / 26)


def test_a_part_of_the_head_that_is_frozen_does_not_count() -> None:
    model, ledger = frozen()
    model.head.weight.requires_grad_(True)
    assert ledger.count(model).head == 8


def test_parts_of_the_backbone_that_train_are_the_methods() -> None:
    model, ledger = frozen()
    model.head.requires_grad_(True)
    model.body.bias.requires_grad_(True)
    count = ledger.count(model)
    assert count == ParameterCount(base=26, trainable=4, head=10, method=4)
    assert count.share_percent == pytest.approx(100 * 4 / 26)
    assert count.share_with_head_percent == pytest.approx(100 * 14 / 26)


def test_what_a_method_adds_does_not_enlarge_the_base() -> None:
    model, ledger = frozen()
    model.added = nn.Linear(3, 5)
    assert ledger.count(model) == ParameterCount(base=26, trainable=20, head=0, method=20)


def test_frozen_tensors_that_a_method_adds_are_its_own_but_do_not_train() -> None:
    """As VeRA's shared random matrices."""
    model, ledger = frozen()
    model.added = nn.Linear(3, 5)
    model.added.weight.requires_grad_(False)
    assert ledger.count(model) == ParameterCount(base=26, trainable=5, head=0, method=20)


def test_a_shared_tensor_counts_once() -> None:
    model = Model()
    model.twin = nn.Linear(3, 4)
    model.twin.weight = model.body.weight
    model.requires_grad_(False)
    ledger = ParameterLedger(model, model.head.parameters())
    model.body.weight.requires_grad_(True)
    model.added = nn.Module()
    model.added.weight = model.body.weight  # added, but no new tensor
    assert ledger.count(model) == ParameterCount(base=26 + 4, trainable=12, head=0, method=12)


def test_a_wrapper_changes_nothing_and_what_it_leaves_out_is_gone() -> None:
    model, ledger = frozen()
    model.requires_grad_(True)
    assert ledger.count(nn.Sequential(model)) == ParameterCount(base=26, trainable=16, head=10, method=16)
    assert ledger.count(model.body) == ParameterCount(base=26, trainable=16, head=0, method=16)


def test_a_head_that_a_method_replaces_is_no_longer_the_head() -> None:
    model, ledger = frozen()
    model.head = nn.Linear(4, 3)
    assert ledger.count(model) == ParameterCount(base=26, trainable=15, head=0, method=15)


def test_numbers_that_a_method_adds_as_buffers_are_its_own_and_places_are_not() -> None:
    model, _ = frozen()
    model.body.register_buffer("of_the_base", torch.zeros(7))
    ledger = ParameterLedger(model, model.head.parameters())
    model.norm = nn.BatchNorm1d(4, affine=False)  # a running mean and variance, and a count of batches
    model.twin = nn.Module()
    model.twin.register_buffer("shared", model.norm.running_mean)
    assert ledger.count(model) == ParameterCount(base=26, trainable=0, head=0, method=8)
