"""Parameters that each method of a grid trains, counted on the meta device: without weights, data or a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers import AutoConfig

from bench.errors import NotApplicable, UsageError
from bench.grid import seeds
from bench.grid.models import Model, resolved
from bench.measure.parameters import ParameterCount
from bench.plugins.method import Method
from bench.plugins.task import Pooling, Task, TaskContext
from bench.sources.resolve import Resolved
from bench.train.adaptation import Adapted, adapt
from bench.train.model import lacks_pooler, load_config, load_tokenizer, meta_model, special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class Frame(NamedTuple):
    """A model as far as a forecast needs it: its configuration, and the special tokens around one text and a pair.

    lacks_pooler: see `bench.plugins.task.TaskContext`.
    """

    config: PreTrainedConfig
    single: tuple[int, ...]
    pair: tuple[int, ...]
    lacks_pooler: bool = False

    def with_special_tokens(self, count: int) -> Frame:
        """The same model, with this many special tokens per input: one [CLS] and separators.

        Raises:
            UsageError: for a tokenizer that puts none around a text.
        """
        if not self.single:
            raise UsageError("--special-tokens: this model's tokenizer puts none around a text.")
        tokens = (self.single[0], *self.single[-1:] * (count - 1))
        return self._replace(single=tokens, pair=tokens)

    def context(self, task: Task, pooling: Pooling = "model") -> TaskContext:
        """What a method sees of a task: the same for all tasks of one kind and one number of labels."""
        template = self.pair if task.pair else self.single
        pad_id = int(self.config.pad_token_id or 0)
        return TaskContext("plan", task.kind, task.pair, task.num_labels, template, pad_id, pooling, self.lacks_pooler)


class Count(NamedTuple):
    """What a method trains on a task. parameters: None where it does not apply, for the reason given.

    formula: the count that the paper promises, if any.
    """

    parameters: ParameterCount | None
    formula: int | None = None
    reason: str | None = None


def frame(model: Model, resolve: Callable[[str], Resolved]) -> Frame:
    """The frame of a model: shipped with the project for one that has a name, else read from its folder.

    Raises:
        SourceError: for a model that is not shipped and unavailable.
    """
    if model.shape is not None:
        return Frame(_named(AutoConfig.for_model(**model.shape.config), model), model.shape.single, model.shape.pair)
    found = resolve(model.source)
    tokenizer = load_tokenizer(found.path)
    templates = special_tokens(tokenizer, False), special_tokens(tokenizer, True)
    config = _named(load_config(found.path), resolved(model, found.revision))
    return Frame(config, *templates, lacks_pooler(found.path))


def _named(config: PreTrainedConfig, model: Model) -> PreTrainedConfig:
    """With the name that cells give the model, which stands in saved adapters and so counts in their bytes."""
    config.name_or_path = model.name
    return config


def count(frame: Frame, method: Method, task: TaskContext) -> Count:
    """Count what a method trains on a task."""
    try:
        parameters = on_meta(frame.config, method, task).parameters
    except NotApplicable as reason:
        return Count(None, reason=str(reason))
    return Count(parameters, method.trainable_formula(frame.config, task))


def on_meta(config: PreTrainedConfig, method: Method, task: TaskContext, dropout: float | None = None) -> Adapted:
    """A model with the method applied, on the meta device; dropout: None leaves the model's own.

    Raises:
        NotApplicable: as the method's `apply` does.
    """
    model = meta_model(config, task.kind, task.num_labels, dropout)
    with torch.device("meta"):
        return adapt(model, method, task, seeds.streams(0))
