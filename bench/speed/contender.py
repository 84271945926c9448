"""What a contender is, and what is measured of one training call."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.measure.time import DROPPED_STEPS
from bench.plugins.recipe import Recipe
from bench.speed.marks import StepMarks
from bench.train.data import Encoded

if TYPE_CHECKING:
    from torch import nn

# A training call: does it all, and says how many non-padding tokens each of its optimiser steps had.
Call = Callable[[], Sequence[int]]


class Contender(Protocol):
    """A way to train: a model, kept from round to round, and a loop."""

    module: nn.Module

    def prepare(self, data: Encoded, recipe: Recipe, seed: int) -> Call:
        """Everything that comes before the training call, such as making a data set of the tokenised examples."""


@dataclass(frozen=True)
class Run:
    """One training call: times in seconds of one clock.

    marks: the end of each optimiser step. tokens: non-padding tokens in each of them. examples: in one epoch.
    """

    started: float
    marks: tuple[float, ...]
    ended: float
    tokens: tuple[int, ...]
    examples: int
    epochs: float

    @property
    def tokens_per_second(self) -> float:
        """Over the whole call after its first DROPPED_STEPS steps: building batches, collating, the update, all in."""
        return sum(self.tokens[DROPPED_STEPS:]) / (self.ended - self.marks[DROPPED_STEPS - 1])

    @property
    def examples_per_second(self) -> float:
        """The same in examples of mean length.

        The steps that are dropped are not alike: PEFT's iterator and the Trainer's grouped sampler begin with the
        longest examples. So they are taken out by their tokens and not by their number.
        """
        return self.tokens_per_second * self.examples * self.epochs / sum(self.tokens)

    def epoch_seconds(self) -> list[float]:
        """The time of each whole epoch, the first from the beginning of the call."""
        per_epoch = round(len(self.marks) / self.epochs)
        ends = [self.started, *self.marks[per_epoch - 1 :: per_epoch]]
        return [after - before for before, after in itertools.pairwise(ends)]


def run(contender: Contender, data: Encoded, recipe: Recipe, seed: int) -> Run:
    """One training call of a contender, timed.

    Raises:
        RuntimeError: if there were more or fewer steps than the contender says, or too few to measure.
    """
    call = contender.prepare(data, recipe, seed)
    with StepMarks() as marks:
        started = time.perf_counter()
        tokens = tuple(call())
        ended = time.perf_counter()
    if len(marks.times) != len(tokens) or len(tokens) <= DROPPED_STEPS:
        raise RuntimeError(f"{len(marks.times)} optimiser steps were seen, {len(tokens)} were told of")
    return Run(started, tuple(marks.times), ended, tokens, len(data), recipe.epochs)
