"""The peak that a training reports against the profile of that whole training, and what measuring leaves as it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import tiny as tiny_bert
import tiny_encoders
import torch

from bench.forecast.lengths import Lengths, batches
from bench.measure.memory import TensorPeak, storage_bytes
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train import loop
from bench.train.adaptation import Adapted
from bench.train.loop import Callbacks

SEED = 7
PROFILES = {"whole": tiny_bert.profile(), "parts": tiny_bert.profile(micro_batch_size=3)}
METHODS = ("head", "pasta", "lora[r=8]", "bitfit", "full")


def adapted(tiny: tiny_bert.Tiny, name: str, kind: str = "classification") -> Adapted:
    return tiny.adapted(build_method(registry.methods(), parse(name)), kind)


def held(made: Adapted) -> list[torch.Tensor]:
    return [*made.module.parameters(), *made.module.buffers()]


def train(made: Adapted, data: Any, profile: Any, **callbacks: Any) -> Any:
    torch.manual_seed(1)
    recipe = tiny_bert.recipe(epochs=3, batch_size=8)
    return loop.train(made, data, recipe, profile, SEED, Callbacks(**callbacks))


def reported(made: Adapted, data: Any, profile: Any, **callbacks: Any) -> int:
    peaks: list[int | None] = []

    def measure(alive: Iterable[torch.Tensor], compute: Any) -> None:
        with TensorPeak(alive) as peak:
            compute()
        peaks.append(peak.peak_bytes)

    train(made, data, profile, measure=measure, **callbacks)
    return max(peak or 0 for peak in peaks)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("parts", PROFILES)
def test_it_is_the_peak_of_the_whole_training(
    tiny: tiny_bert.Tiny, name: str, parts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The loop keeps 1,024 numbers of each tensor: nothing beside a model, but nearly all of a tiny one.
    monkeypatch.setattr(loop, "_sample", lambda parameter: parameter.detach().flatten()[:1].clone())
    data = tiny.data("classification", 60)
    one, other = adapted(tiny, name), adapted(tiny, name)
    with TensorPeak(held(one)) as whole:
        train(one, data, PROFILES[parts])
    assert reported(other, data, PROFILES[parts]) == pytest.approx(whole.peak_bytes, rel=0.01, abs=4096)


@pytest.mark.parametrize("kind", ["classification", "token-classification"])
def test_it_is_the_peak_also_where_features_are_cached(
    tiny: tiny_bert.Tiny, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_sample", lambda parameter: parameter.detach().flatten()[:1].clone())
    data, one, other = tiny.data(kind, 60), adapted(tiny, "head", kind), adapted(tiny, "head", kind)
    for made in (one, other):
        tiny_encoders.no_dropout(made.module)
    with TensorPeak(held(one)) as whole:
        train(one, data, PROFILES["whole"])
    assert reported(other, data, PROFILES["whole"]) == pytest.approx(whole.peak_bytes, rel=0.02, abs=4096)


def test_the_best_point_is_part_of_it(tiny: tiny_bert.Tiny) -> None:
    data = tiny.data("classification", 20)
    last = reported(adapted(tiny, "full"), data, PROFILES["whole"])
    best = reported(adapted(tiny, "full"), data, PROFILES["whole"], validate=lambda: 0.5)
    made = adapted(tiny, "full")
    assert best - last == sum(p.numel() * 4 for p in made.module.parameters() if p.requires_grad)


def test_cached_features_are_part_of_it(tiny: tiny_bert.Tiny) -> None:
    sizes = []
    data = tiny.data("token-classification", 20)
    for dropout in (True, False):
        made = adapted(tiny, "head", "token-classification")
        if not dropout:
            tiny_encoders.no_dropout(made.module)
        alive: list[torch.Tensor] = []
        train(made, data, PROFILES["whole"], measure=lambda tensors, compute, alive=alive: alive.extend(tensors))
        sizes.append(storage_bytes(alive))
    assert sizes[1] - sizes[0] == int(data.lengths.sum()) * tiny_bert.HIDDEN * 4


def test_measuring_moves_nothing(tiny: tiny_bert.Tiny) -> None:
    data, results, states, weights = tiny.data("pair", 20), [], [], []
    for measure in (None, lambda alive, compute: compute()):
        made = adapted(tiny, "lora", "pair")
        (pooler,) = (part for name, part in made.module.named_modules() if name.endswith("pooler"))
        pooler.register_buffer("calls", torch.zeros(()))  # as a batch norm counts them
        pooler.register_forward_hook(lambda module, args, output: module.calls.add_(1) and None)
        results.append(train(made, data, PROFILES["parts"], measure=measure).losses)
        states.append(torch.random.get_rng_state())
        weights.append({name: tensor.clone() for name, tensor in made.module.state_dict().items()})
        assert all(p.grad is None for p in made.module.parameters())
    assert results[0] == results[1]
    assert torch.equal(states[0], states[1])
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(name.endswith("calls") and weights[0][name] > 0 for name in weights[0])


@pytest.mark.parametrize("parts", PROFILES)
def test_a_plan_knows_the_parts_that_are_computed_again(tiny: tiny_bert.Tiny, parts: str) -> None:
    data, shapes = tiny.data("classification", 60), []
    made = adapted(tiny, "pasta")

    def compute_and_note(alive: Any, compute: Any) -> None:
        hook = made.module.register_forward_pre_hook(
            lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
        )
        compute()
        hook.remove()

    train(made, data, PROFILES[parts], measure=compute_and_note)
    planned = batches(
        Lengths(16, data.lengths, 60, None), tiny_bert.recipe(epochs=3, batch_size=8), PROFILES[parts], SEED
    )
    assert list(planned.parts) == shapes
    assert all(batch <= PROFILES[parts].micro_batch_size for batch, _ in shapes)


def test_without_data_all_parts_have_the_longest_input() -> None:
    recipe, profile = tiny_bert.recipe(batch_size=8), tiny_bert.profile(micro_batch_size=5)
    unknown = batches(Lengths(16, None, None, None), recipe, profile, SEED)
    assert unknown.parts == ((5, 16), (3, 16))
    assert (unknown.examples, unknown.largest, unknown.mean) == (8, 128, 128)
    assert batches(Lengths(16, None, 4, None), recipe, profile, SEED).parts == ((4, 16),)


def test_tokens_of_batches_count_their_padding() -> None:
    lengths = np.array([2, 4, 4, 4])
    found = batches(Lengths(16, lengths, 4, None), tiny_bert.recipe(batch_size=4), tiny_bert.profile(), SEED)
    assert found.parts == ((4, 4),)  # one part more would cost more than the two tokens that it saves
    assert (found.largest, found.mean) == (16, 16)
    assert found.longest == (4, 4)
