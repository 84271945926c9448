"""What every metric must do, tried on random answers of each of its kinds."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.check.checks import Check, OnProgress, Outcome, run_checks
from bench.plugins.metric import Metric, probabilities_of
from bench.plugins.task import Kind

EXAMPLES = 24


@dataclass(frozen=True)
class Answers:
    """A metric, and answers of one kind: mostly right, and the right ones. labels: the task's."""

    metric: Metric
    given: list[Any]
    right: list[Any]
    labels: tuple[str, ...]
    kind: Kind

    @classmethod
    def of(cls, metric: Metric, kind: Kind) -> Answers:
        draw = np.random.default_rng(0)
        labels = ("O", "B-X", "I-X")[: 2 if metric.binary else 3] if kind != "regression" else ()

        def one(size: int) -> Any:
            if kind == "regression":
                return draw.normal(3, 2)
            if kind == "multi-label":
                return np.flatnonzero(draw.random(len(labels)) < 0.4).tolist()
            indices = draw.integers(0, len(labels), size).tolist()
            return indices if kind == "token-classification" else indices[0]

        sizes = draw.integers(1, 9, EXAMPLES).tolist()
        right = [one(size) for size in sizes]
        given = [old if draw.random() < 0.7 else one(size) for old, size in zip(right, sizes, strict=True)]
        if metric.of_probabilities:
            given = probabilities_of(kind, given, labels)
        return cls(metric, given, right, labels, kind)

    def score(self, given: list[Any], right: list[Any]) -> float:
        return self.metric.compute(deepcopy(given), deepcopy(right), self.labels)


def right_is_best(answers: Answers) -> Iterator[str]:
    """compute gives a number for right answers, and a worse one for others."""
    best = answers.right
    if answers.metric.of_probabilities:
        best = probabilities_of(answers.kind, answers.right, answers.labels)
    perfect, other = answers.score(best, answers.right), answers.score(answers.given, answers.right)
    if not (np.isfinite(perfect) and np.isfinite(other)):
        yield f"it is {perfect} for right answers, and {other} for others"
    if (perfect <= other) if answers.metric.higher_is_better else (perfect >= other):
        wanted = "higher" if answers.metric.higher_is_better else "lower"
        yield f"it is {perfect:.6g} for right answers and {other:.6g} for others, and {wanted} is better"


def order_does_not_count(answers: Answers) -> Iterator[str]:
    """compute gives the same each time, whatever the order of the examples, and leaves its arguments alone."""
    given, right = answers.given, answers.right
    passed = deepcopy(given), deepcopy(right)
    first = answers.metric.compute(*passed, answers.labels)
    if passed != (given, right):
        yield "compute changes its arguments"
    for at in range(EXAMPLES):
        again = answers.score(given[at:] + given[:at], right[at:] + right[:at])
        if not np.isclose(first, again, rtol=1e-9, atol=1e-12):
            yield f"it was {first!r} and is {again!r}"


def without_each(answers: Answers) -> Iterator[str]:
    """leave_one_out, and sums, give the score with all examples and without each, as compute does."""
    given, right = answers.given, answers.right
    found = answers.metric.leave_one_out(given, right, answers.labels)
    if found is None:
        return
    want = [answers.score(given, right)]
    want += [answers.score(given[:at] + given[at + 1 :], right[:at] + right[at + 1 :]) for at in range(EXAMPLES)]
    for at, (one, other) in enumerate(zip([found[0], *found[1]], want, strict=True)):
        if not np.isclose(one, other, rtol=1e-6, atol=1e-9):
            which = "of all examples" if at == 0 else f"without example {at - 1}"
            yield f"the score {which} is {one:.9g}, and compute says {other:.9g}"


CHECKS: tuple[Check[Answers], ...] = (right_is_best, order_does_not_count, without_each)


def metric_outcomes(metric: Metric, report: OnProgress) -> Iterator[Outcome]:
    """A metric's checks on each of its kinds."""
    for kind in metric.kinds:
        yield from run_checks(CHECKS, Answers.of(metric, kind), report, kind)
