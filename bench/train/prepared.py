"""A task's data, ready for a cell: read, sampled, tokenised and described, once for all cells that share it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from bench.grid.suites import Budget
from bench.plugins.task import SPLITS, Example, Splits, Task, TaskContext
from bench.records.record import Data
from bench.train.data import Encoded, encode, read, sample
from bench.train.model import context, load_tokenizer

CACHED = 16  # data sets that a worker keeps: a grid's tasks come up again with each seed


@dataclass(frozen=True)
class Prepared:
    """splits: by name, those that have examples. description: for the record. context: what a method may know."""

    splits: dict[str, Encoded]
    description: Data
    context: TaskContext


@lru_cache(maxsize=CACHED)
def prepare(task_class: Hashable, data: Path, model: Path, budget: Budget) -> Prepared:
    """A task's splits, cut to a budget and tokenised for a model. The result is cached: it must not be changed.

    Args:
        task_class: a task's class.
        data: the file or folder that the task's source resolved to.
        model: the model's folder.
    """
    task = cast(type[Task], task_class)()
    tokenizer = load_tokenizer(model)
    splits = read(task, data)
    examples = {name: examples_of(name, splits, budget) for name in (*SPLITS, *task.extra_tests)}
    return Prepared(
        splits={name: encode(task, part, tokenizer) for name, part in examples.items() if part},
        description=describe(task, examples),
        context=context(task, tokenizer),
    )


def examples_of(split: str, splits: Splits, budget: Budget) -> list[Example]:
    """The examples of a split, or of an extra test, that a cell with this budget uses."""
    source = budget.source(split)
    return [] if source is None else sample(splits[source], budget.limit(source))


def describe(task: Task, examples: dict[str, list[Example]]) -> Data:
    """The record's description of the data: sizes, label counts, and a digest of every text and label."""
    digest = hashlib.sha256()
    counts: dict[str, dict[str, int]] = {}
    for split, part in examples.items():
        for example in part:
            digest.update(json.dumps(example).encode())
        if task.kind != "regression":
            flat = Counter(index for e in part for index in (e.label if isinstance(e.label, tuple) else (e.label,)))
            counts[split] = {task.labels[int(index)]: flat[index] for index in sorted(flat)}
    sizes = {split: len(part) for split, part in examples.items()}
    return Data(examples=sizes, labels=list(task.labels), label_counts=counts, digest=f"sha256:{digest.hexdigest()}")
