"""Live bytes against sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from bench.forecast.tracing import LiveBytes

FLOAT = 4


@pytest.fixture(params=["real", "fake"])
def live(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    if request.param == "real":
        with LiveBytes() as mode:
            yield mode
    else:
        with FakeTensorMode(), LiveBytes() as mode:
            yield mode


def test_a_tensor_lives_until_its_last_reference_is_gone(live: LiveBytes) -> None:
    first = torch.zeros(3, 5)
    view = first.t()[1:]
    assert live.live == 15 * FLOAT  # a view adds nothing
    second = torch.zeros(7, dtype=torch.float64)
    assert live.live == 15 * FLOAT + 7 * 8
    del first, second
    assert live.live == 15 * FLOAT  # the view still holds it
    del view
    assert (live.live, live.peak) == (0, 15 * FLOAT + 7 * 8)
    live.restart()
    assert live.peak == 0


def test_what_a_linear_layer_saves_and_its_gradients(live: LiveBytes) -> None:
    weight, bias = torch.zeros(16, 8, requires_grad=True), torch.zeros(16, requires_grad=True)
    data = torch.zeros(4, 8)
    start = live.live
    assert start == (16 * 8 + 16 + 4 * 8) * FLOAT
    out = functional.linear(data, weight, bias)
    assert live.live - start == 4 * 16 * FLOAT  # the output; the input is saved, and there already
    out.backward(torch.zeros(4, 16))
    del out
    assert live.live - start == (16 * 8 + 16) * FLOAT  # as much gradient as there are parameters


def test_adamw_keeps_two_states_a_scalar_and_a_count_a_tensor(live: LiveBytes) -> None:
    weight = torch.nn.Parameter(torch.zeros(16, 8))
    optimizer = torch.optim.AdamW([weight], fused=True)
    start = live.live
    weight.grad = torch.zeros(16, 8)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    assert live.live - start == 2 * 16 * 8 * FLOAT + FLOAT
