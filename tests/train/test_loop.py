"""The training loop against a plain torch loop, transformers' own loss and schedule, and numbers by hand."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny as tiny_bert
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from bench.measure.time import Timeline
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train import loop
from bench.train.adaptation import Adapted
from bench.train.batches import like_length_parts
from bench.train.data import Encoded
from bench.train.loop import Callbacks, Trained, TrainingError, TrainState, loss_sum, total_steps

every_kind = pytest.mark.parametrize("kind", tiny_bert.KINDS)


def build(spec: str) -> Any:
    return build_method(registry.methods(), parse(spec))


def fit(adapted: Adapted, data: Encoded, recipe: Any, profile: Any = None, seed: int = 7, **callbacks: Any) -> Any:
    torch.manual_seed(1)
    return loop.train(adapted, data, recipe, profile or tiny_bert.profile(), seed, Callbacks(**callbacks))


@pytest.mark.parametrize(
    ("examples", "batch", "epochs", "least", "steps"),
    [
        (100, 32, 1, 0, 4),
        (96, 32, 1, 0, 3),
        (97, 32, 2, 0, 8),
        (100, 32, 0.5, 0, 2),
        (100, 32, 0.3, 0, 2),  # 1.2 steps
        (320, 32, 0.7, 0, 7),  # 10 * 0.7 is 7.000000000000001 or 6.999 in floats
        (1000, 10, 0.07, 0, 7),  # 7.000000000000001
        (100, 32, 3, 50, 50),
        (100, 32, 3, 5, 12),
        (1, 32, 0.01, 0, 1),
        (0, 32, 3, 50, 0),
    ],
)
def test_steps_of_a_training(examples: int, batch: int, epochs: float, least: int, steps: int) -> None:
    assert total_steps(examples, tiny_bert.recipe(batch_size=batch, epochs=epochs, min_steps=least)) == steps


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
    want = -math.log(3 / 4) - math.log(1 / 5)
    assert float(loss_sum("classification", logits, torch.tensor([1, 1]))) == pytest.approx(want)
    half, none = torch.zeros(3000, 2, dtype=torch.bfloat16), torch.zeros(3000, dtype=torch.int64)
    assert float(loss_sum("classification", half, none)) == pytest.approx(3000 * math.log(2), 1e-4)  # summed in full
    assert float(loss_sum("regression", torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 1.0]))) == pytest.approx(5.0)
    tokens = torch.stack([logits, logits])  # [2 examples, 2 positions, 2 labels]
    labels = torch.tensor([[1, -100], [-100, -100]])
    assert float(loss_sum("token-classification", tokens, labels)) == pytest.approx(-math.log(3 / 4))


@every_kind
@pytest.mark.parametrize(("largest", "part_tokens"), [(1, 0), (3, 1000), (8, 0), (8, 5)])
def test_parts_give_the_gradient_of_one_padded_batch(tiny: Any, kind: str, largest: int, part_tokens: int) -> None:
    """In evaluation mode, as dropout draws differently in parts; token counts differ much between the examples."""
    data = tiny.data(kind, 8)
    batch = data.batch(range(8))
    if kind == "token-classification":
        assert len({int((row != -100).sum()) for row in batch.labels}) > 3
    parts = [data.batch(part) for part in like_length_parts(data.lengths, largest, part_tokens)]
    assert len(parts) > 1
    found = []
    for each in ([batch], parts):
        adapted = tiny.adapted(build("full"), kind)
        state = TrainState.of(
            adapted.module.double(), adapted.head, data.kind, tiny_bert.recipe(), tiny_bert.profile(), 1
        )
        loss = state.update(each)
        found.append((float(loss), [p.grad for p in state.trained]))
    (whole, gradients), (cut, accumulated) = found
    assert cut == pytest.approx(whole, abs=1e-6)
    assert max(float(g.abs().max()) for g in gradients) > 1e-3
    for one, other in zip(gradients, accumulated, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["classification", "pair", "token-classification"])
@pytest.mark.parametrize("largest", [2, 8])
def test_weighted_classes_in_parts_give_the_loss_and_gradient_of_torch(tiny: Any, kind: str, largest: int) -> None:
    data = tiny.data(kind, 8)
    weights = torch.tensor([0.25, 3.0, 1.0][: data.num_labels])
    batch, parts = data.batch(range(8)), [data.batch(p) for p in like_length_parts(data.lengths, largest, 0)]
    mine, other = (tiny.adapted(build("full"), kind) for _ in range(2))
    recipe = tiny_bert.recipe(max_grad_norm=None)
    state = TrainState.of(mine.module, mine.head, data.kind, recipe, tiny_bert.profile(), 1)
    loss = replace(state, class_weights=weights).gradients(parts)
    logits = other.module(**batch.inputs).logits
    theirs = torch.nn.CrossEntropyLoss(weight=weights)(logits.flatten(0, -2), batch.labels.flatten())
    theirs.backward()
    assert float(loss) == pytest.approx(theirs.item(), abs=1e-6)
    gradients = {name: parameter.grad for name, parameter in other.module.named_parameters()}
    for name, parameter in mine.module.named_parameters():
        assert torch.allclose(parameter.grad, gradients[name], rtol=0, atol=1e-6), name


def test_balanced_weights_are_sklearns_and_change_a_training(tiny: Any) -> None:
    data = tiny.data("classification", 12)
    classes = np.unique(data.labels)
    want = compute_class_weight("balanced", classes=classes, y=data.labels)
    np.testing.assert_allclose(data.balanced_weights()[classes], want, rtol=1e-6)
    assert data.constant_loss(class_weights=True) == pytest.approx(math.log(len(classes)))
    plain, balanced = (
        fit(
            tiny.adapted(build("head"), "classification"), data, tiny_bert.recipe(epochs=2, class_weights=weights)
        ).losses
        for weights in (None, "balanced")
    )
    assert plain != balanced
    tokens = tiny.data("token-classification", 12)
    flat = np.concatenate(tokens.labels)
    want = compute_class_weight("balanced", classes=np.arange(3), y=flat[flat != -100])
    np.testing.assert_allclose(tokens.balanced_weights(), want, rtol=1e-6)


def test_a_class_that_does_not_occur_has_no_weight() -> None:
    data = replace(numbers(4), num_labels=3)
    np.testing.assert_allclose(data.balanced_weights(), [1, 1, 0])


@pytest.mark.parametrize("kind", ["regression", "multi-label"])
def test_what_has_no_classes_is_not_weighed(tiny: Any, kind: str) -> None:
    with pytest.raises(TrainingError, match=f"the recipe sets class_weights, and {kind} has no classes to weigh"):
        fit(tiny.adapted(build("head"), kind), tiny.data(kind), tiny_bert.recipe(class_weights="balanced"))


def test_one_seed_gives_one_training_to_the_bit_and_another_seed_another(tiny: Any) -> None:
    recipe = tiny_bert.recipe(epochs=3)
    runs = [fit(tiny.adapted(build("pasta"), "pair"), tiny.data("pair"), recipe, seed=seed) for seed in (7, 7, 8)]
    assert runs[0].losses == runs[1].losses
    assert runs[0].losses != runs[2].losses


def test_two_methods_see_the_same_batches(tiny: Any) -> None:
    seen: list[list[list[int]]] = []
    for spec in ("pasta", "lora"):
        adapted = tiny.adapted(build(spec), "pair")
        batches: list[list[int]] = []
        adapted.module.register_forward_pre_hook(
            lambda module, args, kwargs, batches=batches: batches.append(kwargs["input_ids"].tolist()), with_kwargs=True
        )
        fit(adapted, tiny.data("pair"), tiny_bert.recipe(epochs=2))
        seen.append(batches)
    assert len(seen[0]) == 6
    assert seen[0] == seen[1]
    assert seen[0][:3] != seen[0][3:]  # the second epoch has an order of its own


class Linear(nn.Module):
    """A model by hand: one matrix and one bias, which may be told to fail or to ignore what it trains."""

    def __init__(self, ignore: bool = False, fail_at: int = 0, value: float = math.nan) -> None:
        super().__init__()
        self.body, self.bias = nn.Parameter(torch.full((1, 2), 0.5)), nn.Parameter(torch.ones(2))
        self.ignore, self.fail_at, self.value, self.calls = ignore, fail_at, value, 0

    @property
    def adapted(self) -> Adapted:
        return Adapted(self, [], None)  # type: ignore[arg-type]

    def forward(self, input_ids: torch.Tensor, **_: Any) -> SequenceClassifierOutput:
        self.calls += 1
        logits = input_ids[:, :1].float() @ self.body + self.bias
        if self.calls == self.fail_at:
            logits = logits * self.value
        return SequenceClassifierOutput(logits=logits * 0.0 if self.ignore else logits)


def numbers(count: int) -> Encoded:
    """Example i is the one token i, its label whether i is odd."""
    inputs = {"input_ids": [np.array([i]) for i in range(count)], "attention_mask": [np.array([1])] * count}
    labels = np.arange(count) % 2
    return Encoded("classification", 0, inputs, labels, labels.tolist(), [], 2)


def test_a_training_that_did_nothing_is_void() -> None:
    assert fit(Linear(ignore=True).adapted, numbers(8), tiny_bert.recipe()).void == "every gradient was zero"
    still = fit(Linear().adapted, numbers(8), tiny_bert.recipe(learning_rate=1e-30))
    assert still.void == "no trained parameter ever moved"
    assert fit(Linear().adapted, numbers(8), tiny_bert.recipe()).void is None


@pytest.mark.parametrize("step", [1, 5])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_an_error_that_names_the_step(step: int, value: float) -> None:
    with pytest.raises(TrainingError, match=rf"the loss is (nan|inf) at step {step} of 5$"):
        fit(Linear(fail_at=step, value=value).adapted, numbers(20), tiny_bert.recipe())


def test_nothing_to_train_is_an_error() -> None:
    for model, count in ((Linear().requires_grad_(False), 20), (Linear(), 0)):
        with pytest.raises(TrainingError, match="nothing to train"):
            fit(model.adapted, numbers(count), tiny_bert.recipe())


@pytest.mark.parametrize(
    ("scores", "higher", "chosen"),
    [
        ([0.5, 0.9, 0.9, 0.1], True, 2),
        ([0.5, 0.9, 0.9, 0.1], False, 4),
        ([0.1, 0.1, 0.1, 0.1], False, 1),
        ([None, 0.2, None, 0.1], True, 2),
        ([-3.0, -2.0, -1.0, None], True, 3),
        ([None, None, None, None], True, None),  # without any score the last epoch stays
    ],
)
def test_the_best_epoch_is_restored(scores: list[float | None], higher: bool, chosen: int | None) -> None:
    model = Linear()
    epochs, left = [], iter(scores)

    def validate() -> float | None:
        model.eval()
        epochs.append([p.detach().clone() for p in model.parameters()])
        return next(left)

    modes: list[bool] = []
    model.register_forward_pre_hook(lambda module, args: modes.append(module.training))
    recipe = tiny_bert.recipe(epochs=4)
    done = fit(model.adapted, numbers(8), recipe, validate=validate, higher_is_better=higher)
    assert (done.chosen_step, done.validation_scores, done.validation_steps) == (
        chosen and 2 * chosen,
        scores,
        [2, 4, 6, 8],
    )
    assert len({tuple(tensors[0].flatten().tolist()) for tensors in epochs}) == 4
    for parameter, tensor in zip(model.parameters(), epochs[(chosen or 4) - 1], strict=True):
        assert torch.equal(parameter, tensor)
    assert all(modes)  # in training mode again after each validation


def test_a_part_of_an_epoch_is_validated_at_its_end() -> None:
    calls: list[int] = []
    model = Linear()
    validate: Callable[[], float] = lambda: calls.append(model.calls) or 0.0  # noqa: E731
    fit(model.adapted, numbers(16), tiny_bert.recipe(epochs=2.5), validate=validate)
    assert calls == [4, 8, 10]


def test_validation_every_so_many_steps_and_at_the_end() -> None:
    done = fit(Linear().adapted, numbers(16), tiny_bert.recipe(epochs=2.5), validate=lambda: 0.5, validate_every=4)
    assert (done.validation_steps, done.chosen_step) == ([4, 8, 10], 4)


def test_weights_decay_in_matrices_alone() -> None:
    shapes = [(3, 2), (2, 3, 4), (1, 4), (4, 1), (4,), ()]  # the second is PASTA's, the next two are those of (IA)3
    module = nn.ParameterList([nn.Parameter(torch.ones(shape)) for shape in shapes])
    recipe = tiny_bert.recipe(weight_decay=0.1, adam_epsilon=1e-6)
    state = TrainState.of(module, [], "classification", recipe, tiny_bert.profile(), 1)
    decaying = [p.shape for group in state.optimizer.param_groups for p in group["params"] if group["weight_decay"]]
    assert decaying == [(3, 2)]
    assert {group["eps"] for group in state.optimizer.param_groups} == {1e-6}


def test_the_final_loss_is_that_of_the_last_quarter() -> None:
    for losses, final in (([1.0, 0.9, 0.9, 0.5, 0.4], 0.45), ([1.0, 0.5, 1.0, 0.75], 0.75), ([0.7], 0.7)):
        assert Trained(losses, [], None, [], [], None).final_loss == pytest.approx(final)


def test_steps_and_tokens_are_counted_and_reported(tiny: Any) -> None:
    data, timeline, reported = tiny.data("pair"), Timeline(), list[Any]()
    recipe = tiny_bert.recipe(batch_size=5, epochs=2)
    adapted, callbacks = tiny.adapted(build("head"), "pair"), Callbacks(on_progress=lambda *step: reported.append(step))
    done = loop.train(adapted, data, recipe, tiny_bert.profile(), 7, callbacks, timeline)
    assert sorted(step.examples for step in done.steps) == [2, 2, 5, 5, 5, 5]
    assert sum(step.tokens for step in done.steps) == 2 * data.lengths.sum()
    total, losses, steps = reported[-1]
    assert (total, losses, len(steps), [len(each[1]) for each in reported[:1]]) == (6, done.losses, 6, [1])
    assert {"train", "batching"} <= timeline.seconds().keys()


def test_mixed_precision_trains_close_to_full(tiny: Any) -> None:
    method, data = build("pasta[dropout=0]"), tiny.data("pair")
    full, mixed = (
        fit(tiny.adapted(method, "pair"), data, tiny_bert.recipe(), tiny_bert.profile(dtype=dtype)).losses
        for dtype in ("float32", "bfloat16")
    )
    assert full != mixed
    assert full == pytest.approx(mixed, abs=0.3)
