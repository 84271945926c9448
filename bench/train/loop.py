"""The training loop and the evaluation loop, the same for every method and task."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from bench.grid import seeds
from bench.measure.time import Step, StepClock, Timeline
from bench.plugins.recipe import Recipe
from bench.plugins.task import Kind
from bench.profiles import Profile
from bench.train import features
from bench.train.batches import epoch_batches, sorted_batches
from bench.train.data import CUT_OFF, Batch, Encoded

if TYPE_CHECKING:
    from torch import Tensor, nn

Part = Callable[[slice], AbstractContextManager[None]]

BROKEN = -2  # in the place of a class index: the logits are not numbers
REPORT_SECONDS = 0.5  # how often a loss is read back and reported; on a GPU each reading waits for the stream


class TrainingFault(Exception):
    """Training came to nothing: the loss, or what the trained model answers, is not a number."""


@dataclass(frozen=True)
class Placement:
    """Where and how steps run: from the profile.

    autocast: the dtype of mixed precision, None for plain float32. micro_batch: most examples in one
    forward and backward; a larger batch is accumulated, with the same gradient.
    """

    device: str = "cpu"
    autocast: torch.dtype | None = None
    micro_batch: int = 32
    eval_batch: int = 128

    def precision(self) -> Any:
        """The context in which the model is called."""
        return torch.autocast(self.device, self.autocast) if self.autocast else nullcontext()


def placement_of(profile: Profile) -> Placement:
    """Where and how steps run on a profile."""
    autocast = None if profile.dtype == "float32" else getattr(torch, profile.dtype)
    return Placement(profile.device, autocast, profile.micro_batch_size, profile.eval_batch_size)


@dataclass
class Trained:
    """What a training left: the loss of every step, their times, and whether anything happened at all."""

    losses: list[float]
    steps: list[Step]
    moved: bool
    had_gradient: bool
    validation_scores: list[float | None] = field(default_factory=list)
    chosen_epoch: int | None = None

    @property
    def void(self) -> str | None:
        """Why the throughput of this training means nothing; None: it does mean something."""
        if not self.had_gradient:
            return "every gradient was zero"
        return None if self.moved else "no trained parameter ever moved"


@dataclass(frozen=True)
class Progress:
    """One sign of life from a training."""

    step: int
    steps: int
    loss: float


def train(
    model: nn.Module,
    data: Encoded,
    recipe: Recipe,
    placement: Placement,
    *,
    seed: int,
    head: list[nn.Parameter],
    timeline: Timeline,
    report: Callable[[Progress], None],
    after_epoch: Callable[[], float | None] | None = None,
    higher_is_better: bool = True,
) -> Trained:
    """Train what requires gradients, with AdamW and a linear warm-up and decay.

    Batches depend on the seed, the data and the batch size alone, so methods that share these see the
    same examples in the same order.

    Args:
        after_epoch: scores the validation split; where given, the epoch with the best score is restored
            at the end, the earlier one on a tie.

    Raises:
        TrainingFault: when the loss is not finite, naming the step.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    total = total_steps(len(data), recipe)
    if not trained or total == 0:
        raise TrainingFault("nothing to train: no parameter requires a gradient, or there is no example")
    optimizer, schedule = make_optimizer(trained, head, recipe, total)
    clock = StepClock(placement.device)
    before = [_fingerprint(parameter) for parameter in trained]
    losses: list[Tensor] = []
    epochs = _Epochs(trained, higher_is_better)
    kept = features.of_frozen(model, len(data))
    lengths = data.lengths
    had_gradient = False
    reported = time.monotonic()
    model.train()
    for indices, batch, last_of_epoch in _stream(data, recipe, seed, total, timeline):
        batch = batch_to(batch, placement.device)
        with timeline.phase("train"), clock.step(batch.examples, batch.tokens):
            known = kept.parts(indices, lengths[indices]) if kept else None
            loss = update(model, batch, data.kind, recipe, placement, trained, optimizer, known)
            losses.append(loss)
            schedule.step()
            had_gradient = had_gradient or _any_gradient(trained)
            optimizer.zero_grad(set_to_none=True)
        if len(losses) in (1, total) or time.monotonic() - reported > REPORT_SECONDS:
            report(Progress(len(losses), total, _finite(losses, total)))
            reported = time.monotonic()
        if after_epoch is not None and last_of_epoch:
            _finite(losses, total)  # a loss that is none says more than the answers after it
            epochs.add(after_epoch())
            model.train()
    moved = any(not torch.equal(_fingerprint(p), old) for p, old in zip(trained, before, strict=True))
    chosen = epochs.restore()
    curve = torch.stack(losses).float().cpu().tolist()
    _check(curve, total)
    return Trained(curve, clock.steps(), moved, had_gradient, epochs.scores, chosen)


def predict(model: nn.Module, data: Encoded, placement: Placement) -> list[Any]:
    """The model's answers in the order of the data: a class index, a number, or an index a word.

    Raises:
        TrainingFault: where an answer is not a number. The largest of such logits is a class like any other, so a
            model that the last step broke, or one that overflows, would get a score.
    """
    answers: list[Any] = [None] * len(data)
    model.eval()
    with torch.inference_mode():
        for indices in sorted_batches(data.lengths, placement.eval_batch):
            batch = batch_to(data.batch(indices), placement.device)
            with placement.precision():
                logits = model(**batch.inputs).logits.float()
            for index, answer in zip(indices, _answers(logits, data, indices), strict=True):
                answers[index] = answer
    broken = sum(_is_broken(answer) for answer in answers)
    if broken:
        raise TrainingFault(f"the trained model's answers to {broken} of {len(answers)} examples are not numbers")
    return answers


def total_steps(examples: int, recipe: Recipe) -> int:
    """Optimiser steps of a training; a fraction of an epoch is rounded up to a whole step."""
    per_epoch = math.ceil(examples / recipe.batch_size)
    return max(math.ceil(round(per_epoch * recipe.epochs, 6)), recipe.min_steps) if examples else 0


def learning_rate_factor(step: int, total: int, warmup: int) -> float:
    """The share of the peak learning rate at a step counted from 0: up from 0, then down to 0 at `total`.

    The schedule of transformers' get_linear_schedule_with_warmup.
    """
    if step < warmup:
        return step / max(1, warmup)
    return max(0.0, (total - step) / max(1, total - warmup))


def loss_sum(kind: Kind, logits: Tensor, labels: Tensor) -> Tensor:
    """The summed loss of a batch; divided by the number of scored labels it is the usual mean loss.

    Cross entropy for classification, over scored positions only for token classification; squared error
    for regression.
    """
    logits = logits.float()
    if kind == "regression":
        return functional.mse_loss(logits.squeeze(-1), labels, reduction="sum")
    return functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="sum")


def batch_to(batch: Batch, device: str) -> Batch:
    """The batch on a device; nothing is copied where it is there already."""
    if device == "cpu":
        return batch
    inputs = {key: value.to(device, non_blocking=True) for key, value in batch.inputs.items()}
    return Batch(inputs, batch.labels.to(device, non_blocking=True), batch.examples, batch.scored, batch.tokens)


def _stream(
    data: Encoded, recipe: Recipe, seed: int, total: int, timeline: Timeline
) -> Iterator[tuple[np.ndarray, Batch, bool]]:
    """Batches of as many epochs as it takes: indices, batch, and whether it ends an epoch (or the training)."""
    lengths, done, epoch = data.lengths, 0, 0
    while done < total:
        order = epoch_batches(lengths, recipe.batch_size, seeds.derive(seed, "epoch", epoch))
        for at, indices in enumerate(order, start=1):
            with timeline.phase("batching"):
                batch = data.batch(indices)
            done += 1
            yield indices, batch, at == len(order) or done == total
            if done == total:
                return
        epoch += 1


def update(
    model: nn.Module,
    batch: Batch,
    kind: Kind,
    recipe: Recipe,
    placement: Placement,
    trained: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    kept: Part | None = None,
) -> Tensor:
    """One optimiser step on one batch: forward, backward, clip, update; returns the batch's mean loss.

    Reads no value of any tensor, so it runs on fake tensors too. Gradients are left for the caller to clear. kept:
    see `_step`.
    """
    loss = _step(model, batch, kind, placement, kept)
    if recipe.max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(trained, recipe.max_grad_norm)
    optimizer.step()
    return loss


def _step(model: nn.Module, batch: Batch, kind: Kind, placement: Placement, kept: Part | None = None) -> Tensor:
    """Forward and backward of one batch, in micro-batches where it is too large; returns its mean loss.

    kept: gives for a part of the batch the context in which the model is called, see `bench.train.features`.
    """
    losses = []
    for at in range(0, batch.examples, placement.micro_batch):
        part = slice(at, at + placement.micro_batch)
        with kept(part) if kept else nullcontext():
            with placement.precision():
                logits = model(**{key: value[part] for key, value in batch.inputs.items()}).logits
            # Divided by the whole batch's count, so that accumulated parts add up to the gradient of one batch.
            loss = loss_sum(kind, logits, batch.labels[part]) / max(1, batch.scored)
            loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def make_optimizer(
    trained: list[nn.Parameter], head: list[nn.Parameter], recipe: Recipe, total: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW over what is trained, the head at its own rate, and its schedule of so many steps."""
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
    warmup = round(recipe.warmup_ratio * total)
    # Counted from 1, or the first step of a warm-up would be one that changes nothing.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step + 1 if warmup else step, total + 1, warmup)
    )
    return optimizer, schedule


def _answers(logits: Tensor, data: Encoded, indices: np.ndarray) -> list[Any]:
    if data.kind == "regression":
        return logits.squeeze(-1).tolist()
    best = logits.argmax(-1).masked_fill(logits.isnan().any(-1), BROKEN).cpu().numpy()
    if data.kind == "classification":
        return best.tolist()
    return [_word_answers(row, data.word_starts[i]) for row, i in zip(best, indices, strict=True)]


def _word_answers(best: np.ndarray, starts: np.ndarray) -> list[int]:
    """One answer a word, read at its first piece; CUT_OFF for a word that truncation removed."""
    return np.where(starts == CUT_OFF, CUT_OFF, best[starts]).tolist()


def _is_broken(answer: Any) -> bool:
    if isinstance(answer, float):
        return not math.isfinite(answer)
    return BROKEN in answer if isinstance(answer, list) else answer == BROKEN


class _Epochs:
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
        """Put the best epoch's tensors back and say which it was, counted from 1."""
        if self._best is None:
            return None
        _, epoch, tensors = self._best
        with torch.no_grad():
            for parameter, tensor in zip(self._trained, tensors, strict=True):
                parameter.copy_(tensor)
        return epoch


def _fingerprint(parameter: nn.Parameter) -> Tensor:
    """Enough of a tensor to see whether training moved it."""
    return parameter.detach().flatten()[:1024].clone()


def _any_gradient(trained: list[nn.Parameter]) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in trained)


def _finite(losses: list[Tensor], total: int) -> float:
    loss = float(losses[-1])
    if not math.isfinite(loss):
        _check(torch.stack(losses).float().cpu().tolist(), total)
    return loss


def _check(curve: list[float], total: int) -> None:
    for step, loss in enumerate(curve, start=1):
        if not math.isfinite(loss):
            raise TrainingFault(f"the loss is {loss} at step {step} of {total}")
