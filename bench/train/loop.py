"""The training loop, the same for every method and task."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from bench.measure.time import Step, StepClock, Timeline
from bench.plugins.recipe import WEIGHTED_KINDS, Recipe
from bench.plugins.task import Kind
from bench.profiles import Profile
from bench.train.adaptation import Adapted
from bench.train.batches import CostliestParts, parts_of, training_batches
from bench.train.data import IGNORED, Batch, Encoded
from bench.train.features import Features, features_of

if TYPE_CHECKING:
    from torch import Tensor, nn

PROGRESS_SECONDS = 0.5  # how often a loss is read and reported; on a GPU each reading waits for the stream


Measure = Callable[[Sequence["Tensor"], Callable[[], None]], None]
Contexts = Iterable[AbstractContextManager[None]] | None


class TrainingError(Exception):
    """Nothing to train, or a loss that is not a finite number."""


@dataclass(frozen=True)
class Callbacks:
    """What a training calls.

    on_progress: with the number of steps, and the losses and times of all steps so far, about twice a second, for the
    first and last step, and before each validation.
    validate: gives the score on the validation split. It is called every `validate_every` steps and after the last one,
    or after each epoch where that is None. The trained tensors with the best score (the first of equal ones) are
    restored at the end.
    measure: called after the last step, on a CPU alone, with tensors that are alive and with what takes the most memory
    beside them: it computes the costliest parts of the training's batches once more, and changes nothing. Where the
    backbone's outputs were computed before the first step it is called a second time, for that.
    """

    on_progress: Callable[[int, Sequence[float], Sequence[Step]], None] = lambda total, losses, steps: None
    validate: Callable[[], float | None] | None = None
    validate_every: int | None = None
    higher_is_better: bool = True
    measure: Measure | None = None


@dataclass
class Trained:
    """What a training left.

    void: why its throughput is meaningless; None: it is not. validation_steps: after how many steps each of
    `validation_scores` was taken. chosen_step: whose tensors the model has; None: those of the end.
    """

    losses: list[float]
    steps: list[Step]
    void: str | None
    validation_scores: list[float | None]
    validation_steps: list[int]
    chosen_step: int | None

    @property
    def final_loss(self) -> float:
        """The mean loss of the last quarter of the steps."""
        quarter = -(-len(self.losses) // 4)
        return sum(self.losses[-quarter:]) / quarter


@dataclass(frozen=True)
class TrainState:
    """A model in training: the parameters that train, their optimiser, its schedule, and weights in the loss."""

    model: nn.Module
    kind: Kind
    profile: Profile
    trained: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    max_grad_norm: float | None
    class_weights: Tensor | None = None  # [labels], float32

    @classmethod
    def of(
        cls, model: nn.Module, head: list[nn.Parameter], kind: Kind, recipe: Recipe, profile: Profile, steps: int
    ) -> TrainState:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return cls(model, kind, profile, trained, *_optimizer(trained, head, recipe, steps), recipe.max_grad_norm)

    def update(self, parts: Sequence[Batch], cached: Contexts = None) -> Tensor:
        """One optimiser step on one batch: forward, backward, clip, update; returns the batch's mean loss.

        No value of a tensor is read, so that it also runs on fake tensors. The caller clears the gradients.

        Args:
            cached: for each part the context in which the model is called on it, see `bench.train.features`.
        """
        loss = self.gradients(parts, cached)
        self.optimizer.step()
        return loss

    def gradients(self, parts: Sequence[Batch], cached: Contexts = None) -> Tensor:
        """The clipped gradients of one batch; returns its mean loss.

        The batch is computed in parts, and has the gradient of the whole: each part's loss is divided by the count of
        labels in all of them, or by their weights.
        """
        losses = []
        scored: float | Tensor = max(1, sum(part.scored for part in parts))
        if self.class_weights is not None:
            labels = torch.cat([part.labels.flatten() for part in parts])
            of_labels = self.class_weights[labels.clamp(min=0)] * (labels != IGNORED)
            scored = of_labels.sum().clamp(min=torch.finfo(torch.float32).tiny)
        for part, context in zip(parts, cached or repeat(nullcontext()), strict=False):
            with context:
                with self.profile.precision():
                    logits = self.model(**part.inputs).logits
                loss = loss_sum(self.kind, logits, part.labels, self.class_weights) / scored
                loss.backward()
            losses.append(loss.detach())
        if self.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.trained, self.max_grad_norm)
        return torch.stack(losses).sum()

    def compute_again(self, parts: Sequence[Batch], cached: Contexts) -> None:
        """Compute gradients as a step does and clear them; weights, buffers and the random state stay as they were.

        The update is left out: a fused AdamW works in place.
        """
        self.model.train()
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        with torch.random.fork_rng(devices=()):
            self.gradients(parts, cached)
        self.optimizer.zero_grad(set_to_none=True)
        for buffer, before in buffers:
            if not torch.equal(buffer, before):
                buffer.copy_(before)


def train(
    adapted: Adapted,
    data: Encoded,
    recipe: Recipe,
    profile: Profile,
    seed: int,
    callbacks: Callbacks = Callbacks(),
    timeline: Timeline | None = None,
) -> Trained:
    """Train what requires gradients, with AdamW and a linear warm-up and decay.

    Batches depend on the seed, the data and the batch size alone: methods that share these see the same examples in
    the same order.

    Raises:
        TrainingError: if the loss is not finite, naming the step, or if there is nothing to train.
    """
    model, timeline = adapted.module, timeline or Timeline()
    total = total_steps(len(data), recipe)
    if total == 0 or not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainingError("nothing to train: no parameter requires a gradient, or there is no example")
    state = TrainState.of(model, adapted.head, data.kind, recipe, profile, total)
    if recipe.class_weights is not None:
        if data.kind not in WEIGHTED_KINDS:
            raise TrainingError(f"the recipe sets class_weights, and {data.kind} has no classes to weigh")
        state = replace(state, class_weights=torch.from_numpy(data.balanced_weights()).to(profile.device))
    clock = StepClock(profile.device)
    before = [_sample(parameter) for parameter in state.trained]
    losses = torch.full((total,), math.nan, device=profile.device)  # one tensor: no block of memory a step
    best = _BestPoint(state.trained, callbacks.higher_is_better)
    with timeline.phase("features"):
        features = features_of(model, data, profile)
    costliest = CostliestParts()
    had_gradient = False
    reported = time.monotonic()
    stream = _stream(data, recipe, None if features else profile, seed, total, timeline)
    model.train()
    for step, (indices, parts, ends_epoch) in enumerate(stream, 1):
        costliest.see(indices, data.lengths)
        moved_parts = [part.to(profile.device) for part in parts]
        with timeline.phase("train"), clock.step(sum(p.examples for p in parts), sum(p.tokens for p in parts)):
            cached = [features.of(part) for part in indices] if features else None
            losses[step - 1] = state.update(moved_parts, cached)
            state.schedule.step()
            had_gradient = had_gradient or any(p.grad is not None and bool(p.grad.any()) for p in state.trained)
            state.optimizer.zero_grad(set_to_none=True)
        every = callbacks.validate_every
        validate = callbacks.validate if (ends_epoch if every is None else step % every == 0 or step == total) else None
        if validate is not None or step in (1, total) or time.monotonic() - reported > PROGRESS_SECONDS:
            # Before a validation: a loss that is not finite says more than predictions made after it.
            callbacks.on_progress(total, _checked(losses[:step], total), clock.read())
            reported = time.monotonic()
        if validate is not None:
            best.add(step, validate())
            model.train()
    void = None if had_gradient else "every gradient was zero"
    if had_gradient and all(torch.equal(_sample(p), old) for p, old in zip(state.trained, before, strict=True)):
        void = "no trained parameter ever moved"
    if callbacks.measure is not None and profile.device == "cpu":
        _measure(callbacks.measure, state, best.tensors(), features, costliest.parts, data)
    chosen = best.restore()
    return Trained(_checked(losses, total), clock.read(), void, best.scores, best.steps, chosen)


def total_steps(examples: int, recipe: Recipe) -> int:
    """Optimiser steps of a training; a fraction of an epoch is rounded up to a whole step."""
    per_epoch = math.ceil(examples / recipe.batch_size)
    return max(math.ceil(round(per_epoch * recipe.epochs, 6)), recipe.min_steps) if examples else 0


def _measure(
    measure: Measure,
    state: TrainState,
    kept: list[Tensor],
    features: Features | None,
    parts: list[np.ndarray],
    data: Encoded,
) -> None:
    """Have a step on these parts measured, and where there are features, what computed them before the first step."""
    model = [*state.model.parameters(), *state.model.buffers()]
    states = [value for each in state.optimizer.state.values() for value in each.values() if torch.is_tensor(value)]
    held, cached = [*model, *states, *kept], None
    if features:
        held += features.tensors()
        cached = [features.of(part) for part in parts]
    examples = [data.batch(part) for part in parts]
    measure(held, lambda: state.compute_again(examples, cached))
    if features:
        measure(model, features.compute_largest_batch)


def loss_sum(kind: Kind, logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """The summed loss of a batch; divided by the number of scored labels, or by their weights, it is the mean loss.

    Cross entropy for classification, over scored positions only for token classification; binary cross entropy of each
    label for multi-label classification; squared error for regression.
    """
    logits = logits.float()
    if kind == "regression":
        return functional.mse_loss(logits.squeeze(-1), labels, reduction="sum")
    if kind == "multi-label":
        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), class_weights, reduction="sum")


def learning_rate_factor(step: int, total: int, warmup: int) -> float:
    """The share of the peak learning rate at a step counted from 0: up from 0, then down to 0 at `total`.

    The schedule of transformers' get_linear_schedule_with_warmup.
    """
    if step < warmup:
        return step / max(1, warmup)
    return max(0.0, (total - step) / max(1, total - warmup))


def _optimizer(
    trained: list[nn.Parameter], head: list[nn.Parameter], recipe: Recipe, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW over what is trained, the head at its own rate, and its schedule over this many steps.

    Weights decay in matrices alone: not in biases and norms, nor in a method's vectors, which may be stored with one
    row, or with axes for layers and slots as PASTA's.
    """
    in_head = {id(parameter) for parameter in head}
    groups = []
    for is_head in (False, True):
        rate = (recipe.head_learning_rate if is_head else None) or recipe.learning_rate
        for is_matrix in (False, True):
            members = [p for p in trained if (id(p) in in_head) == is_head and _is_matrix(p, is_head) == is_matrix]
            if members:
                groups.append(
                    {"params": members, "lr": rate, "weight_decay": recipe.weight_decay if is_matrix else 0.0}
                )
    optimizer = torch.optim.AdamW(groups, eps=recipe.adam_epsilon, fused=True)
    warmup = round(recipe.warmup_ratio * steps)
    # Counted from 1, or the first step of a warm-up would have a learning rate of zero.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step + 1 if warmup else step, steps + 1, warmup)
    )
    return optimizer, schedule


def _is_matrix(parameter: nn.Parameter, in_head: bool) -> bool:
    return parameter.dim() == 2 and (in_head or min(parameter.shape) > 1)  # a head for one number has one row


def _stream(
    data: Encoded, recipe: Recipe, profile: Profile | None, seed: int, total: int, timeline: Timeline
) -> Iterator[tuple[list[np.ndarray], list[Batch], bool]]:
    """The batches of all steps, in parts: indices, examples, and whether it is the last of an epoch (or of all).

    profile: whose device computes the parts; None: they are left whole.
    """
    for batch, ends_epoch in training_batches(len(data), recipe.batch_size, total, seed):
        with timeline.phase("batching"):
            parts = [batch] if profile is None else parts_of(batch, data.lengths, profile)
            examples = [data.batch(part) for part in parts]
        yield parts, examples, ends_epoch


class _BestPoint:
    """Keeps the trained tensors of the step with the best validation score."""

    def __init__(self, trained: list[nn.Parameter], higher_is_better: bool) -> None:
        self.scores: list[float | None] = []
        self.steps: list[int] = []
        self._trained, self._sign = trained, 1 if higher_is_better else -1
        self._best: tuple[float, int, list[Tensor]] | None = None

    def add(self, step: int, score: float | None) -> None:
        self.scores.append(score)
        self.steps.append(step)
        if score is not None and (self._best is None or self._sign * score > self._best[0]):
            self._best = (self._sign * score, step, [p.detach().clone() for p in self._trained])

    def tensors(self) -> list[Tensor]:
        return [] if self._best is None else self._best[2]

    def restore(self) -> int | None:
        """Put the best step's tensors back, and give its number, counted from 1."""
        if self._best is None:
            return None
        _, step, tensors = self._best
        with torch.no_grad():
            for parameter, tensor in zip(self._trained, tensors, strict=True):
                parameter.copy_(tensor)
        return step


def _sample(parameter: nn.Parameter) -> Tensor:
    """Enough of a tensor to see whether training moved it."""
    return parameter.detach().flatten()[:1024].clone()


def _checked(losses: Tensor, total: int) -> list[float]:
    """The losses; TrainingError if one is not finite, naming the first such step."""
    curve: list[float] = losses.cpu().tolist()
    for step, loss in enumerate(curve, start=1):
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step} of {total}")
    return curve
