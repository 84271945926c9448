"""How long a task's inputs are, which decides the largest batch.

Nothing is downloaded: where the data are here already the longest texts count, else the task's limit is an upper bound.
Batches hold texts of like length, so the longest text bounds the longest batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.errors import BenchError
from bench.grid.suites import Budget
from bench.plugins.task import Example, Task
from bench.sources.resolve import local
from bench.train.data import examples_of, read, tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LONGEST = 1000  # texts with the most characters that are tokenised to find the longest, and as many others for the mean


@dataclass(frozen=True)
class Lengths:
    """Tokens of a task's training examples.

    longest: of one example, or the task's limit. mean: None where the data are not here. train, test: examples that
    the budget takes; None if unknown. source: where `longest` comes from.
    """

    longest: int
    mean: float | None
    train: int | None
    test: int | None
    source: Literal["data", "max_length"]


def lengths(task: Task, budget: Budget, tokenizer: PreTrainedTokenizerBase | None, mirror: Path | None) -> Lengths:
    """The lengths of a task's examples under a budget. tokenizer: None where it is not here."""
    scored = budget.limit(budget.source("test") or "test")
    unknown = Lengths(task.max_length, None, budget.train_examples, scored, "max_length")
    found = local(task.source, mirror) if tokenizer is not None else None
    if tokenizer is None or found is None:
        return unknown
    try:
        splits = read(task, found.path)
    except BenchError:  # a run says what is wrong; a forecast does without
        return unknown
    train, test = (examples_of(name, splits, budget) for name in ("train", "test"))
    some = train[:LONGEST]  # splits are shuffled, so the first are a sample
    most = sorted(train, key=_characters, reverse=True)[:LONGEST]
    each = [len(ids) for ids in tokenise(task, some, tokenizer)["input_ids"]]
    longest = max(len(ids) for ids in tokenise(task, most, tokenizer)["input_ids"])
    return Lengths(max(longest, *each), sum(each) / len(each), len(train), len(test), "data")


def _characters(example: Example) -> int:
    text = example.text if isinstance(example.text, str) else " ".join(example.text)
    return len(text) + len(example.pair or "")
