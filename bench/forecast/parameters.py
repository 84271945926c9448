"""Parameters that each method of a grid trains, counted on the meta device: without weights, data or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AutoConfig

from bench.errors import NotApplicable
from bench.grid import seeds
from bench.grid.models import Model
from bench.measure.parameters import ParameterCount
from bench.plugins.method import Method
from bench.plugins.task import Kind, Task, TaskContext
from bench.sources.resolve import Resolved
from bench.train.adaptation import Adapted, adapt
from bench.train.model import load_config, load_tokenizer, meta_model, special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class Frame(NamedTuple):
    """A model as far as a forecast needs it: its configuration, and the special tokens around one text and a pair."""

    config: PreTrainedConfig
    single: tuple[int, ...]
    pair: tuple[int, ...]

    def with_special_tokens(self, count: int) -> Frame:
        """The same model, with this many special tokens per input: one [CLS] and separators."""
        tokens = (self.single[0], *self.single[-1:] * (count - 1))
        return self._replace(single=tokens, pair=tokens)

    def context(self, kind: Kind, pair: bool, num_labels: int) -> TaskContext:
        """What a method is told of a task of this kind."""
        return TaskContext(
            "plan", kind, pair, num_labels, self.pair if pair else self.single, int(self.config.pad_token_id or 0)
        )


class Count(NamedTuple):
    """One method on one task. parameters: None where the method does not apply, for the reason given.

    special_tokens: of a full input of the task. formula: the count that the paper promises, if any.
    """

    method: Method
    variant: str
    task: Task
    special_tokens: int
    parameters: ParameterCount | None = None
    formula: int | None = None
    reason: str | None = None

    def row(self, model: str) -> dict[str, Any]:
        """Under the leaderboard's column names, and the parts that make its sums."""
        found = self.parameters
        return {
            "task": self.task.name,
            "method": self.method.name,
            "method_params": self.variant,
            "model": model,
            "special_tokens": self.special_tokens,
            "method_params_count": found and found.method,
            "trainable_params": found and found.trainable,
            "trainable_share_percent": found and found.share_percent,
            "head_params": found and found.head,
            "trainable_share_with_head_percent": found and found.share_with_head_percent,
            "model_params": found and found.base,
            "formula": self.formula,
            "status": "ok" if found else "skipped",
            "reason": self.reason,
        }


def frame(model: Model, resolve: Callable[[str], Resolved]) -> Frame:
    """The frame of a model: shipped with the project for one that has a name, else read from its folder.

    Raises:
        SourceError: for a model that is not shipped and unavailable.
    """
    if model.shape is not None:
        return Frame(AutoConfig.for_model(**model.shape.config), model.shape.single, model.shape.pair)
    path = resolve(model.source).path
    tokenizer = load_tokenizer(path)
    return Frame(load_config(path), special_tokens(tokenizer, False), special_tokens(tokenizer, True))


def counts(frame: Frame, tasks: Sequence[Task], methods: Iterable[tuple[Method, str]]) -> list[Count]:
    """Count each method, with its variant's label, on each task.

    Tasks of one kind and one number of labels are counted once.
    """
    built = list(methods)

    @cache
    def counted(at: int, kind: Kind, pair: bool, num_labels: int) -> dict[str, Any]:
        method, context = built[at][0], frame.context(kind, pair, num_labels)
        try:
            parameters = on_meta(frame.config, method, context).parameters
        except NotApplicable as reason:
            return {"reason": str(reason)}
        return {"parameters": parameters, "formula": method.trainable_formula(frame.config, context)}

    return [
        Count(
            method, variant, task, len(frame.pair if task.pair else frame.single),
            **counted(at, task.kind, task.pair, task.num_labels),
        )
        for task in tasks
        for at, (method, variant) in enumerate(built)
    ]  # fmt: skip


def on_meta(config: PreTrainedConfig, method: Method, task: TaskContext, dropout: float | None = None) -> Adapted:
    """A model with the method applied, on the meta device; dropout: None leaves the model's own.

    Raises:
        NotApplicable: as the method's `apply` does.
    """
    model = meta_model(config, task.kind, task.num_labels, dropout)
    with torch.device("meta"):
        return adapt(model, method, task, seeds.streams(0))
