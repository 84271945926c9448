"""A step on fake tensors: FLOPs against sums by hand, bytes against the same step on real tensors and real files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert

from bench.forecast import step
from bench.forecast.lengths import Shape
from bench.forecast.parameters import on_meta
from bench.forecast.step import Step, predict
from bench.forecast.tracing import LiveBytes
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train.adaptation import adapt
from bench.train.loop import TrainState
from bench.train.model import load_config, load_model

HIDDEN, LAYERS, INNER = tiny_bert.HIDDEN, tiny_bert.LAYERS, 48
PROMPTS = ("prompt_tuning[tokens=4]", "prefix_tuning[tokens=4]")
METHODS = ("pasta", "lora", *PROMPTS, "adapters", "full")
SHAPE, PROFILE = Shape(6, 16), tiny_bert.profile()


def method(name: str) -> Any:
    return build_method(registry.methods(), parse(name))


@cache  # a trace takes a second
def predicted(
    tiny: tiny_bert.Tiny,
    name: str,
    shape: Shape = SHAPE,
    kind: str = "classification",
    dropout: float | None = None,
    profile: Any = PROFILE,
) -> Step:
    built, context, config = method(name), tiny.context(kind), load_config(tiny.path)
    recipe = built.recipe(context, config)
    if dropout is not None:
        recipe = recipe.model_copy(update={"dropout": dropout})
    return predict(config, built, context, recipe, profile, parts_of(shape, profile.micro_batch_size))


def parts_of(shape: Shape, largest: int) -> list[Shape]:
    return [Shape(min(largest, shape.batch - at), shape.length) for at in range(0, shape.batch, largest)]


class ByHand:
    """FLOPs of BERT: a product of [m, k] and [k, n] is 2 m k n. With no dropout, so that attention is fused."""

    def __init__(self, shape: Shape, labels: int) -> None:
        batch, tokens, d = shape.batch, shape.tokens, HIDDEN
        self.square = 2 * tokens * d * d  # query, key, value or output of a layer
        self.inner = 2 * tokens * d * INNER  # up or down
        self.attended = 2 * batch * shape.length**2 * d  # scores, or the values they weigh
        self.pooler, self.classifier = 2 * batch * d * d, 2 * batch * d * labels
        self.rank = 2 * tokens * d  # times r: one matrix of LoRA
        self.layer = 4 * self.square + 2 * self.inner
        self.forward = LAYERS * (self.layer + 2 * self.attended) + self.pooler + self.classifier

    @property
    def head(self) -> int:
        return self.forward + self.classifier  # its weight's gradient

    @property
    def pasta(self) -> int:
        """Gradients of inputs through every layer; attention's are four products and the scores once more."""
        return self.forward + LAYERS * (self.layer + 5 * self.attended) + self.pooler + 2 * self.classifier

    @property
    def full(self) -> int:
        return self.forward + LAYERS * (2 * self.layer + 5 * self.attended) + 2 * self.pooler + 2 * self.classifier

    def lora(self, r: int) -> int:
        """On query and value: A and B forward, the gradients of both, of what A gives, and of A's input.

        The first layer's input needs no gradient.
        """
        adapters = (LAYERS * 2 * 6 - 2) * r * self.rank
        back = LAYERS * (self.layer + 5 * self.attended) - 3 * self.square
        return self.forward + adapters + back + self.pooler + 2 * self.classifier


def test_flops_of_a_step_by_hand(tiny: tiny_bert.Tiny) -> None:
    by_hand = ByHand(SHAPE, tiny.context("classification").num_labels)
    found = {name: predicted(tiny, name, dropout=0.0).flops for name in ("head", "pasta", "full", "lora[r=4]")}
    assert found == {"head": by_hand.head, "pasta": by_hand.pasta, "full": by_hand.full, "lora[r=4]": by_hand.lora(4)}
    assert found["head"] < found["pasta"] < found["full"]
    assert predicted(tiny, "head", dropout=0.0).eval_flops == by_hand.forward


def test_micro_batches_compute_the_same_and_keep_less(tiny: tiny_bert.Tiny) -> None:
    whole, parts = predicted(tiny, "full"), predicted(tiny, "full", profile=tiny_bert.profile(micro_batch_size=3))
    assert parts.flops == whole.flops
    assert parts.growth_bytes < whole.growth_bytes
    half = predicted(tiny, "full", profile=tiny_bert.profile(dtype="bfloat16"))
    assert half.growth_bytes < whole.growth_bytes
    # Gradients and AdamW's two states are there in either case.
    assert parts.growth_bytes > 3 * whole.model_bytes * 0.99


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("classification", name) for name in METHODS), ("token-classification", "pasta"), ("multi-label", "pasta")],
)
def test_a_step_and_a_file_take_what_was_predicted(tiny: tiny_bert.Tiny, name: str, kind: str, tmp_path: Path) -> None:
    """Real tensors instead of fake ones, and the adapter as it is saved."""
    expected = predicted(tiny, name, kind=kind)
    built, context, config = method(name), tiny.context(kind), load_config(tiny.path)
    recipe = built.recipe(context, config)
    model = load_model(tiny.path, context.kind, context.num_labels, recipe.dropout)
    adapted = adapt(model, built, context, seeds.streams(0))
    module = adapted.module.train()
    built.save(module, tmp_path)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert expected.adapter_bytes == pytest.approx(size, abs=200)  # the model's name stands in some
    tensors = {id(t): t for t in (*module.parameters(), *module.buffers())}
    assert expected.model_bytes >= sum(t.numel() * t.element_size() for t in tensors.values())
    state = TrainState.of(module, adapted.head, context.kind, recipe, PROFILE, 2)
    with LiveBytes() as live:
        for tensor in tensors.values():
            live.add(tensor)
        start = live.live
        for _ in range(2):
            batch = step._batch(config, context, SHAPE, "cpu")
            batch.inputs["input_ids"].fill_(5)
            batch.inputs["input_ids"][:, 0] = context.template[0]
            batch.inputs["input_ids"][:, -1] = context.template[-1]
            batch.inputs["attention_mask"].fill_(1)[0, -1] = 0  # or transformers leaves the mask out
            batch.inputs["token_type_ids"].fill_(0)
            batch.labels.fill_(0)
            state.update([batch])
            state.optimizer.zero_grad(set_to_none=True)
    assert expected.growth_bytes == pytest.approx(live.peak - start, rel=0.02)


def test_a_large_adapter_is_not_written(tiny: tiny_bert.Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    full, exact = method("full"), predicted(tiny, "full").adapter_bytes
    monkeypatch.setattr(step, "_SAVED_FOR_REAL", 1000)
    counted = step.adapter_bytes(full, on_meta(load_config(tiny.path), full, tiny.context("classification")))
    assert 0 < exact - counted < 0.1 * exact  # a file's header
