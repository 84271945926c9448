"""How long a task's inputs are, and what batches of them look like: the largest parts, the tokens.

Nothing is downloaded: where the data are here already the batches are those that a training draws, else the task's
limit is an upper bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from bench.grid.suites import Budget
from bench.plugins.recipe import Recipe
from bench.plugins.task import Splits, Task
from bench.profiles import Profile
from bench.records.record import Truncation
from bench.train.batches import CostliestParts, parts_of, training_batches
from bench.train.data import examples_of
from bench.train.fit import Model
from bench.train.loop import total_steps
from bench.train.tokens import longest, tokenise, truncation

SAMPLE = 5000  # training examples that are tokenised
BATCHES = 500  # batches that are cut into parts


class Shape(NamedTuple):
    """A padded batch, or a part of one: how many examples, and tokens of its longest."""

    batch: int
    length: int

    @property
    def tokens(self) -> int:
        return self.batch * self.length


@dataclass(frozen=True)
class Lengths:
    """Tokens of a task's training examples.

    limit: of the task on the model. each: of a random sample; None where the data are not here. train, test,
    validation: examples that the budget takes; None if unknown. truncation: what the limit cuts from the sample.
    """

    limit: int
    each: np.ndarray | None
    train: int | None
    test: int | None
    validation: int | None = None
    truncation: Truncation | None = None

    @property
    def source(self) -> Literal["data", "max_length"]:
        """Where the lengths come from."""
        return "max_length" if self.each is None else "data"

    @property
    def total(self) -> int:
        """Tokens of all training examples, by the sample's mean or the limit; 0 if their number is unknown."""
        mean = self.limit if self.each is None else float(self.each.mean())
        return round((self.train or 0) * mean)


@dataclass(frozen=True)
class Batches:
    """What a training's batches look like.

    parts: the costliest first part of a batch and the costliest later one, see `bench.train.batches`. longest: the
    largest part of all examples sorted by length. examples: of a batch. largest: tokens of the largest batch, mean: of
    a batch; padding counts.
    """

    parts: tuple[Shape, ...]
    longest: Shape
    examples: int
    largest: int
    mean: float


def lengths(task: Task, budget: Budget, model: Model | None, splits: Splits | None) -> Lengths:
    """The lengths of a task's examples under a budget. model, splits: None where they are not here."""
    scored = budget.limit(budget.source("test") or "test")
    limit = task.max_length if model is None else longest(task, model.tokenizer, model.limits)
    unknown = Lengths(limit, None, budget.train_examples, scored, budget.validation_examples)
    if model is None or splits is None:
        return unknown
    train, test, validation = (examples_of(name, splits, budget) for name in ("train", "test", "validation"))
    if not train:
        return unknown
    some = train[:SAMPLE]  # splits are shuffled, so the first are a sample
    tokens = tokenise(task, some, model.tokenizer, model.limits)
    each = np.array([len(ids) for ids in tokens["input_ids"]], dtype=np.int64)
    sizes = len(train), len(test), len(validation)
    return Lengths(limit, each, *sizes, truncation(task, some, model.tokenizer, tokens, limit))


def batches(at: Lengths, recipe: Recipe, profile: Profile, seed: int) -> Batches:
    """The batches of a training as the loop draws and cuts them; without data all have the longest input.

    seed: of the order of the data.
    """
    size = recipe.batch_size if at.train is None else min(recipe.batch_size, at.train)
    if at.each is None:
        micro = min(size, profile.micro_batch_size)
        parts = (Shape(micro, at.limit), *[Shape(min(size - micro, micro), at.limit)] * (size > micro))
        return Batches(parts, Shape(micro, at.limit), size, size * at.limit, size * at.limit)
    steps = min(total_steps(len(at.each), recipe), BATCHES)
    costliest, tokens = CostliestParts(), []
    for batch, _ in training_batches(len(at.each), size, steps, seed):
        parts_of_batch = parts_of(batch, at.each, profile)
        costliest.see(parts_of_batch, at.each)
        tokens.append(sum(_shape(part, at.each).tokens for part in parts_of_batch))
    shapes = tuple(_shape(part, at.each) for part in costliest.parts)
    longest = Shape(min(profile.micro_batch_size, len(at.each)), int(at.each.max()))
    return Batches(shapes, longest, size, max(tokens), math.fsum(tokens) / steps)


def _shape(part: np.ndarray, each: np.ndarray) -> Shape:
    return Shape(len(part), int(each[part].max()))
