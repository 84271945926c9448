"""The training loop, the same for every method and task."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from bench.grid import seeds
from bench.measure.time import Step, StepClock, Timeline
from bench.plugins.recipe import Recipe
from bench.plugins.task import Kind
from bench.profiles import Profile
from bench.train.adaptation import Adapted
from bench.train.batches import epoch_batches
from bench.train.data import Batch, Encoded
from bench.train.features import feature_cache

if TYPE_CHECKING:
    from torch import Tensor, nn

CachedPart = Callable[[slice], AbstractContextManager[None]]

PROGRESS_SECONDS = 0.5  # how often a loss is read and reported; on a GPU each reading waits for the stream


class TrainingError(Exception):
    """Nothing to train, or a loss that is not a finite number."""


@dataclass(frozen=True)
class Callbacks:
    """What a training calls.

    on_progress: with the step, the number of steps and the loss, about twice a second and for the first and last step.
    validate: after each epoch; gives the score on the validation split. With it the trained tensors of the epoch with
    the best score are restored at the end (of the first of equal ones).
    """

    on_progress: Callable[[int, int, float], None] = lambda step, steps, loss: None
    validate: Callable[[], float | None] | None = None
    higher_is_better: bool = True


@dataclass
class Trained:
    """What a training left. void: why its throughput is meaningless; None: it is not."""

    losses: list[float]
    steps: list[Step]
    void: str | None
    validation_scores: list[float | None]
    chosen_epoch: int | None


@dataclass(frozen=True)
class TrainState:
    """A model in training: the parameters that train, their optimiser, and its learning-rate schedule."""

    model: nn.Module
    trained: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    max_grad_norm: float | None

    @classmethod
    def of(cls, model: nn.Module, head: list[nn.Parameter], recipe: Recipe, steps: int) -> TrainState:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return cls(model, trained, *_optimizer(trained, head, recipe, steps), recipe.max_grad_norm)


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
    state = TrainState.of(model, adapted.head, recipe, total)
    clock = StepClock(profile.device)
    before = [_sample(parameter) for parameter in state.trained]
    losses: list[Tensor] = []
    best = _BestEpoch(state.trained, callbacks.higher_is_better)
    cache = feature_cache(model, len(data))
    had_gradient = False
    reported = time.monotonic()
    model.train()
    for indices, batch, ends_epoch in _stream(data, recipe, seed, total, timeline):
        batch = batch.to(profile.device)
        with timeline.phase("train"), clock.step(batch.examples, batch.tokens):
            cached = cache.parts(indices, data.lengths[indices]) if cache else None
            losses.append(update(state, batch, data.kind, profile, cached))
            state.schedule.step()
            had_gradient = had_gradient or any(p.grad is not None and bool(p.grad.any()) for p in state.trained)
            state.optimizer.zero_grad(set_to_none=True)
        if len(losses) in (1, total) or time.monotonic() - reported > PROGRESS_SECONDS:
            callbacks.on_progress(len(losses), total, _last_loss(losses, total))
            reported = time.monotonic()
        if callbacks.validate is not None and ends_epoch:
            _last_loss(losses, total)  # a loss that is not finite says more than predictions made after it
            best.add(callbacks.validate())
            model.train()
    void = None if had_gradient else "every gradient was zero"
    if had_gradient and all(torch.equal(_sample(p), old) for p, old in zip(state.trained, before, strict=True)):
        void = "no trained parameter ever moved"
    chosen = best.restore()
    return Trained(_checked(losses, total), clock.steps(), void, best.scores, chosen)


def total_steps(examples: int, recipe: Recipe) -> int:
    """Optimiser steps of a training; a fraction of an epoch is rounded up to a whole step."""
    per_epoch = math.ceil(examples / recipe.batch_size)
    return max(math.ceil(round(per_epoch * recipe.epochs, 6)), recipe.min_steps) if examples else 0


def update(state: TrainState, batch: Batch, kind: Kind, profile: Profile, cached: CachedPart | None = None) -> Tensor:
    """One optimiser step on one batch: forward, backward, clip, update; returns the batch's mean loss.

    A batch that is too large for the device is computed in micro-batches. No value of a tensor is read, so that it
    also runs on fake tensors. The caller clears the gradients.

    Args:
        cached: gives the context in which the model is called on a part of the batch, see `bench.train.features`.
    """
    losses = []
    for at in range(0, batch.examples, profile.micro_batch_size):
        part = slice(at, at + profile.micro_batch_size)
        with cached(part) if cached else nullcontext():
            with profile.precision():
                logits = state.model(**{key: value[part] for key, value in batch.inputs.items()}).logits
            # Divided by the count of the whole batch, so that the parts add up to the gradient of one batch.
            loss = loss_sum(kind, logits, batch.labels[part]) / max(1, batch.scored)
            loss.backward()
        losses.append(loss.detach())
    if state.max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(state.trained, state.max_grad_norm)
    state.optimizer.step()
    return torch.stack(losses).sum()


def loss_sum(kind: Kind, logits: Tensor, labels: Tensor) -> Tensor:
    """The summed loss of a batch; divided by the number of scored labels it is the usual mean loss.

    Cross entropy for classification, over scored positions only for token classification; squared error
    for regression.
    """
    logits = logits.float()
    if kind == "regression":
        return functional.mse_loss(logits.squeeze(-1), labels, reduction="sum")
    return functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="sum")


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
    """AdamW over what is trained, the head at its own rate, and its schedule over this many steps."""
    in_head = {id(parameter) for parameter in head}
    groups = []
    for is_head in (False, True):
        rate = (recipe.head_learning_rate if is_head else None) or recipe.learning_rate
        for is_matrix in (False, True):
            members = [p for p in trained if (id(p) in in_head) == is_head and (p.dim() > 1) == is_matrix]
            if members:
                groups.append(
                    {"params": members, "lr": rate, "weight_decay": recipe.weight_decay if is_matrix else 0.0}
                )
    optimizer = torch.optim.AdamW(groups, fused=True)
    warmup = round(recipe.warmup_ratio * steps)
    # Counted from 1, or the first step of a warm-up would have a learning rate of zero.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step + 1 if warmup else step, steps + 1, warmup)
    )
    return optimizer, schedule


def _stream(
    data: Encoded, recipe: Recipe, seed: int, total: int, timeline: Timeline
) -> Iterator[tuple[np.ndarray, Batch, bool]]:
    """The batches of all steps: indices, batch, and whether it is the last of an epoch (or of the training)."""
    done, epoch = 0, 0
    while done < total:
        order = epoch_batches(data.lengths, recipe.batch_size, seeds.derive(seed, "epoch", epoch))
        for at, indices in enumerate(order[: total - done], start=1):
            with timeline.phase("batching"):
                batch = data.batch(indices)
            yield indices, batch, at == len(order) or done + at == total
        done += len(order)
        epoch += 1


class _BestEpoch:
    """Keeps the trained tensors of the epoch with the best validation score."""

    def __init__(self, trained: list[nn.Parameter], higher_is_better: bool) -> None:
        self.scores: list[float | None] = []
        self._trained, self._sign = trained, 1 if higher_is_better else -1
        self._best: tuple[float, int, list[Tensor]] | None = None

    def add(self, score: float | None) -> None:
        self.scores.append(score)
        if score is not None and (self._best is None or self._sign * score > self._best[0]):
            self._best = (self._sign * score, len(self.scores), [p.detach().clone() for p in self._trained])

    def restore(self) -> int | None:
        """Put the best epoch's tensors back, and give its number, counted from 1."""
        if self._best is None:
            return None
        _, epoch, tensors = self._best
        with torch.no_grad():
            for parameter, tensor in zip(self._trained, tensors, strict=True):
                parameter.copy_(tensor)
        return epoch


def _sample(parameter: nn.Parameter) -> Tensor:
    """Enough of a tensor to see whether training moved it."""
    return parameter.detach().flatten()[:1024].clone()


def _last_loss(losses: list[Tensor], total: int) -> float:
    """The newest loss; TrainingError if it is not finite, naming the first such step."""
    loss = float(losses[-1])
    return loss if math.isfinite(loss) else _checked(losses, total)[-1]


def _checked(losses: list[Tensor], total: int) -> list[float]:
    curve: list[float] = torch.stack(losses).float().cpu().tolist()
    for step, loss in enumerate(curve, start=1):
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step} of {total}")
    return curve
