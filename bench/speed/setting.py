"""The model, the task and random samples of its training split: the same for all contenders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UsageError
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.plugins.specs import build_method, parse
from bench.plugins.task import Example, Splits, Task, TaskContext
from bench.train.data import Encoded, encode, read
from bench.train.model import context, load_config, load_tokenizer, quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

BATCH = 32  # examples an optimiser step, for every contender


@dataclass(frozen=True)
class Files:
    """Where everything lies on this machine; small enough to be sent to another process."""

    model: Path
    task: str
    data: Path
    plugins: tuple[Path, ...] = ()


def require_classification(name: str, plugins: Sequence[Path] = ()) -> type[Task]:
    """The task of this name.

    Raises:
        UsageError: for one that is not there, or is no classification of texts or pairs.
    """
    task = registry.tasks(plugins).get(name).plugin
    if task.kind != "classification":
        raise UsageError(f"The task {name} is a {task.kind}; speed is compared on a classification of texts or pairs.")
    return task


class Setting:
    """A task read and a tokenizer loaded. Models are loaded by the contenders, each in its own way.

    Raises:
        UsageError: for a task that is no classification of texts or pairs.
    """

    def __init__(self, files: Files) -> None:
        quiet_libraries()
        self.files = files
        self.task: Task = require_classification(files.task, files.plugins)()
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(files.model)
        self.context: TaskContext = context(self.task, self.tokenizer)
        self.config: PreTrainedConfig = load_config(files.model)

    @cached_property
    def splits(self) -> Splits:
        return read(self.task, self.files.data)

    def method(self, spec: str) -> Method:
        return build_method(registry.methods(self.files.plugins), parse(spec))

    def recipe(self, spec: str, epochs: float = 1, dropout: float | None = None) -> Recipe:
        """A method's own recipe for so many epochs of batches of 32, with this dropout; None: the model's own.

        No gradients are clipped, by anybody: the recipes of LoRA and PASTA do not, and where others do by
        default (the Trainer, PEFT's loop, full fine-tuning) leaving it out makes them a little faster.
        """
        usual = self.method(spec).recipe(self.context, self.config)
        changes: dict[str, Any] = {"epochs": epochs, "min_steps": 0, "batch_size": BATCH, "dropout": dropout}
        return usual.model_copy(update={**changes, "max_grad_norm": None})

    def encoded(self, examples: Sequence[Example]) -> Encoded:
        return encode(self.task, examples, self.tokenizer)

    def sample(self, examples: int, seed: int) -> Encoded:
        """So many training examples drawn without replacement, tokenised.

        Raises:
            UsageError: if the training split has fewer.
        """
        train = self.splits["train"]
        if examples > len(train):
            raise UsageError(
                f"--examples {examples} is more than the {len(train):,} training examples of {self.task.name}."
            )
        drawn = np.random.Generator(np.random.PCG64(seed)).choice(len(train), examples, replace=False)
        return self.encoded([train[int(at)] for at in drawn])


def columns(data: Encoded) -> dict[str, list[Any]]:
    """Tokenised examples as columns of lists, labels included: what datasets.Dataset is made of."""
    inputs = {key: [row.tolist() for row in rows] for key, rows in data.inputs.items()}
    return {**inputs, "labels": list(data.references)}
