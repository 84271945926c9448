"""Gradient checkpointing and torch.compile: the same losses, in less memory, or one sentence."""

from __future__ import annotations

from functools import partialmethod
from typing import Any

import pytest
import tiny as tiny_bert
import tiny_encoders
import torch
from torch import nn

from bench.errors import NotApplicable
from bench.forecast.lengths import Shape
from bench.forecast.step import predict
from bench.forecast.tracing import LiveBytes
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train import kernels, loop, modes
from bench.train.loop import TrainState

COMPILED = [name for name in registry.methods().names() if name != "head"]
PEFT = ["peft:vera", "peft:lora", "peft:p_tuning"]
METHODS = [name for name in registry.methods().names() if name != "prefix_tuning"]


def build(spec: str) -> Any:
    return build_method(registry.methods(), parse(spec))


def adapted(tiny: Any, spec: str, kind: str, **profile: bool) -> Any:
    made = tiny.adapted(build(spec), kind, model=tiny_encoders.no_dropout(tiny.model(kind)))
    modes.install(made.module, tiny_bert.profile(**profile))
    return made


def losses(tiny: Any, spec: str, kind: str, **profile: bool) -> list[float]:
    torch.manual_seed(1)
    recipe = tiny_bert.recipe(epochs=3)
    made = adapted(tiny, spec, kind, **profile)
    found: list[float] = loop.train(made, tiny.data(kind), recipe, tiny_bert.profile(), 7).losses
    return found


def growth(tiny: Any, spec: str) -> dict[bool, int]:
    """The most bytes that a step keeps beside the model, without and with checkpointing, on real tensors."""
    found = {}
    for checkpointing in (False, True):
        made = adapted(tiny, spec, "classification", gradient_checkpointing=checkpointing)
        batch = tiny.data("classification", 12).batch(range(12))
        state = TrainState.of(
            made.module.train(), made.head, "classification", tiny_bert.recipe(), tiny_bert.profile(), 1
        )
        with LiveBytes() as live:
            state.update([batch])
        found[checkpointing] = live.peak
    return found


@pytest.mark.parametrize("spec", [*METHODS, *PEFT])
def test_checkpointing_gives_the_same_losses(tiny: Any, spec: str) -> None:
    for kind in ("classification", "token-classification"):
        assert losses(tiny, spec, kind, gradient_checkpointing=True) == pytest.approx(
            losses(tiny, spec, kind), abs=1e-6
        )


@pytest.mark.parametrize("spec", ["full", "bitfit", "lora", "pasta", "adapters"])
def test_checkpointing_keeps_fewer_activations(tiny: Any, spec: str) -> None:
    found = growth(tiny, spec)
    assert found[True] < 0.8 * found[False]


@pytest.mark.parametrize("spec", ["full", "pasta"])
def test_a_plan_traces_checkpointing_as_it_is(tiny: Any, spec: str) -> None:
    """The difference that it makes, on fake tensors and on real ones; the same batch, without dropout."""
    built, context, config = build(spec), tiny.context("classification"), tiny.config("classification")
    recipe = tiny_bert.recipe(dropout=0.0)
    shape = Shape(12, int(tiny.data("classification", 12).lengths.max()))
    plain, checkpointed = (
        predict(config, built, context, recipe, tiny_bert.profile(gradient_checkpointing=on), [shape]).growth_bytes
        for on in (False, True)
    )
    real = growth(tiny, spec)
    assert plain - checkpointed == pytest.approx(real[False] - real[True], rel=0.05)


def test_recomputed_layers_drop_the_same_elements(tiny: Any) -> None:
    found = []
    for checkpointing in (False, True):
        made = tiny.adapted(build("full"), "classification")
        kernels.install(made.module, "16-bit")
        modes.install(made.module, tiny_bert.profile(gradient_checkpointing=checkpointing))
        torch.manual_seed(1)
        recipe = tiny_bert.recipe(epochs=3)
        found.append(loop.train(made, tiny.data("classification"), recipe, tiny_bert.profile(), 7).losses)
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_nothing_below_the_first_trained_tensor_is_differentiated(tiny: Any) -> None:
    made = adapted(tiny, "head", "classification", gradient_checkpointing=True).module.train()
    seen = []
    made.base_model.encoder.register_forward_hook(lambda module, args, output: seen.append(output[0].requires_grad))
    made(**tiny.data("classification").batch(range(4)).inputs)
    assert seen == [False]


def test_checkpointing_that_would_drop_a_prefix_is_refused(tiny: Any) -> None:
    for spec in ("prefix_tuning", "peft:prefix_tuning"):
        with pytest.raises(NotApplicable, match=r"gradient_checkpointing: it does not work with keys and values"):
            losses(tiny, spec, "classification", gradient_checkpointing=True)


@pytest.mark.parametrize("family", ["albert", "mpnet"])
def test_a_family_without_checkpointing_is_refused(family: str) -> None:
    made = tiny_encoders.adapted(build("bitfit"), family)
    with pytest.raises(NotApplicable, match=f"models of the family '{family}' do not support it"):
        modes.install(made.module, tiny_bert.profile(gradient_checkpointing=True))


@pytest.fixture
def without_code(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch.compile traces and differentiates as always, and no C++ is compiled, which takes a minute a model."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("without_code")
@pytest.mark.parametrize("spec", COMPILED)
def test_compiling_gives_the_same_losses(tiny: Any, spec: str) -> None:
    compiled = losses(tiny, spec, "classification", compile=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert compiled == pytest.approx(losses(tiny, spec, "classification"), abs=1e-5)


@pytest.mark.slow
def test_compiled_code_gives_the_same_losses(tiny: Any) -> None:
    torch._dynamo.reset()
    compiled = losses(tiny, "pasta", "classification", compile=True, gradient_checkpointing=True)
    assert compiled == pytest.approx(losses(tiny, "pasta", "classification"), abs=1e-5)


def test_where_only_the_head_trains_there_is_nothing_to_compile(tiny: Any) -> None:
    with pytest.raises(NotApplicable, match="compile: only the head trains"):
        adapted(tiny, "head", "classification", compile=True)


def test_what_cannot_be_compiled_is_one_sentence_until_a_step_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no C++ compiler")

    broken, profile = torch.compile(torch.sin, backend=no_compiler), tiny_bert.profile(compile=True)
    with (
        pytest.raises(NotApplicable, match=r"^compile: this model cannot be compiled with this method: .*no C\+\+"),
        modes.refusing_uncompilable(profile, lambda: False),
    ):
        broken(torch.ones(2))
    with pytest.raises(RuntimeError, match="no C") as raised, modes.refusing_uncompilable(profile, lambda: True):
        broken(torch.ones(2))
    assert not isinstance(raised.value, NotApplicable)
