"""The work of PASTA's step, by hand, and by torch's own counter."""

import numpy as np
import pytest
import tiny as tiny_bert
import torch

from bench.speed.products import layer_shapes, product_gflops, work_per_token
from methods.pasta import Pasta, PastaParams

H, F, LAYERS = tiny_bert.HIDDEN, 48, tiny_bert.LAYERS


def test_layers_by_hand() -> None:
    assert layer_shapes(tiny_bert.config()) == {(H, H): 4 * LAYERS, (H, F): LAYERS, (F, H): LAYERS}


def test_work_by_hand() -> None:
    work = work_per_token(tiny_bert.config(), np.array([2, 4]))
    assert work.layers == 4 * LAYERS * (4 * H * H + 2 * H * F)
    # A text of n tokens: n * n pairs, in two products of 2 * hidden FLOPs each going forward, twice that back.
    assert work.attention == LAYERS * 12 * H * (2 * 2 + 4 * 4) / 6


def test_a_step_of_pasta_does_as_much_as_is_counted(tiny: tiny_bert.Tiny) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    adapted = tiny.adapted(Pasta(PastaParams()), "classification").module
    adapted.set_attn_implementation("eager")  # type: ignore[operator]
    input_ids = torch.full((3, 10), 7)
    input_ids[:, 0], input_ids[:, -1] = tiny_bert.CLS, tiny_bert.SEP
    with FlopCounterMode(display=False) as counter:
        adapted(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).logits.sum().backward()
    work = work_per_token(tiny_bert.config(), np.array([10] * 3))
    pooled = 2 * 3 * (2 * H * H) + 3 * 3 * (2 * H * 3)  # the pooler twice, the head with its weights' gradient
    assert counter.get_total_flops() == pytest.approx(30 * (work.layers + work.attention) + pooled)


def test_the_rate_is_positive() -> None:
    assert product_gflops({(8, 16): 2}, tokens=32) > 0
