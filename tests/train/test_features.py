"""A frozen backbone is computed once an example, and training comes out as if it were computed each time."""

from typing import Any

import numpy as np
import pytest
import tiny as tiny_bert
import tiny_encoders
import torch
from torch import nn

from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train import features, loop
from bench.train.adaptation import Adapted
from bench.train.data import encode
from bench.train.evaluation import predict
from bench.train.features import features_of


def head() -> Any:
    return build_method(registry.methods(), parse("head"))


def adapted(tiny: tiny_bert.Tiny, kind: str) -> Adapted:
    made = tiny.adapted(head(), kind)
    tiny_encoders.no_dropout(made.module)
    return made


def calls_of(backbone: nn.Module) -> list[int]:
    """Grows by the number of examples whenever the embeddings, and so the backbone, are really computed."""
    seen: list[int] = []
    backbone.embeddings.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    return seen


def trained(tiny: tiny_bert.Tiny, kind: str, profile: Any, epochs: float = 3.0) -> tuple[Adapted, Any]:
    made, data = adapted(tiny, kind), tiny.data(kind)
    recipe = tiny_bert.recipe(epochs=epochs, batch_size=4, learning_rate=1e-2)
    result = loop.train(made, data, recipe, profile, 5)
    return made, result


@pytest.mark.parametrize("kind", ["classification", "pair", "token-classification", "regression"])
@pytest.mark.parametrize("micro_batch", [32, 3])
def test_training_is_the_same_as_without(
    tiny: tiny_bert.Tiny, kind: str, micro_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tiny_bert.profile(micro_batch_size=micro_batch)
    ours, found = trained(tiny, kind, profile)
    monkeypatch.setattr(loop, "features_of", lambda *_: None)
    plain, expected = trained(tiny, kind, profile)
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)
    for mine, its in zip(ours.head, plain.head, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-6)
    assert found.void is None


@pytest.mark.parametrize("kind", ["classification", "token-classification"])
def test_the_backbone_is_computed_once_an_example(tiny: tiny_bert.Tiny, kind: str) -> None:
    made, data = adapted(tiny, kind), tiny.data(kind)
    seen = calls_of(made.module.bert)
    recipe = tiny_bert.recipe(epochs=4, batch_size=4, learning_rate=1e-2)
    loop.train(made, data, recipe, tiny_bert.profile(), 5)
    assert sum(seen) == len(data) + 1  # the first shows what the head reads
    seen.clear()
    predict(made.module, data, tiny_bert.profile())  # the model itself is as it was
    assert sum(seen) == len(data)


@pytest.mark.parametrize("family", tiny_encoders.NAMES)
@pytest.mark.parametrize("kind", ["classification", "token-classification"])
def test_every_familys_head_gets_what_it_reads(family: str, kind: Any) -> None:
    """The logits of what was kept are the model's own."""
    made = tiny_encoders.adapted(head(), family, kind)
    tiny_encoders.no_dropout(made.module)
    data = encode(tiny_bert.task(kind), tiny_bert.examples(kind, 6), tiny_encoders.tokenizer(family))
    kept = features_of(made.module, data, tiny_bert.profile(micro_batch_size=4))
    assert kept is not None
    assert not any(parameter.grad is not None for parameter in made.module.parameters())
    indices = np.array([4, 0, 3, 1])
    batch = data.batch(indices)
    expected = made.module(**batch.inputs).logits
    with kept.of(indices):
        found = made.module(**batch.inputs).logits
    real = batch.inputs["attention_mask"].bool() if kind == "token-classification" else slice(None)
    torch.testing.assert_close(found[real], expected[real])


def test_what_does_not_fit_is_computed_each_time(tiny: tiny_bert.Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    made, data = adapted(tiny, "classification"), tiny.data("classification")
    exactly = 4 * made.module.config.hidden_size * len(data)  # the pooled vectors of all examples
    monkeypatch.setattr(features, "LIMIT_BYTES", exactly)
    assert features_of(made.module, data, tiny_bert.profile()) is not None
    monkeypatch.setattr(features, "LIMIT_BYTES", exactly - 1)
    seen = calls_of(made.module.bert)
    recipe = tiny_bert.recipe(epochs=2, batch_size=1, learning_rate=1e-2)
    loop.train(made, data, recipe, tiny_bert.profile(), 5)
    assert sum(seen) == 2 * len(data) + 1


def test_nothing_is_kept_where_the_backbone_trains_or_drops_out(tiny: tiny_bert.Tiny) -> None:
    data, profile = tiny.data("classification"), tiny_bert.profile()
    assert features_of(tiny.adapted(head(), "classification").module, data, profile) is None  # its dropout is on
    for spec in ("pasta", "lora", "bitfit", "full", "prompt_tuning"):
        made = tiny.adapted(build_method(registry.methods(), parse(spec)), "classification")
        tiny_encoders.no_dropout(made.module)
        assert features_of(made.module, data, profile) is None, spec
    made = adapted(tiny, "classification")
    assert features_of(made.module, data, profile) is not None
    made.module.bert.encoder.layer[0].attention.output.dropout.p = 0.1
    assert features_of(made.module, data, profile) is None
    assert features_of(nn.Linear(2, 2), data, profile) is None
