"""A task's data, ready for a cell: read, cut to a budget, tokenised, described, and put into padded batches.

torch is imported inside functions: the driver reads data too, and does without torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from bench.errors import BenchError, SourceError, first_line
from bench.grid.suites import Budget
from bench.plugins.splits import Cut
from bench.plugins.task import SPLITS, Example, Kind, Splits, Task, TaskContext, settle
from bench.records.record import Data, Truncation
from bench.train.model import context, lacks_pooler, load_config, load_tokenizer
from bench.train.tokens import (
    NOTHING_CUT,
    TRUNCATED,
    Limits,
    limits,
    longest,
    pair_note,
    tokenise,
    truncation,
    word_starts,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label of a position that is not scored; torch's cross entropy skips it
CACHED = 16  # data sets that a worker keeps: a grid's tasks come up again with each seed


@dataclass(frozen=True)
class Batch:
    """One padded batch.

    inputs: what the model takes, each [batch, length], int64. labels: [batch] class indices (int64) or numbers
    (float32); [batch, length] with IGNORED where nothing is scored; or [batch, labels], 1 where one holds. scored: the
    number of labels that count, by which a mean loss is divided. tokens: non-padding tokens.
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    examples: int
    scored: int
    tokens: int

    def to(self, device: str) -> Batch:
        """The batch on a device; nothing is copied if it is there already."""
        if device == "cpu":
            return self
        inputs = {key: value.to(device, non_blocking=True) for key, value in self.inputs.items()}
        return replace(self, inputs=inputs, labels=self.labels.to(device, non_blocking=True))


class Scale(NamedTuple):
    """Of a regression's targets, which are learned as (target - mean) / std: of the training examples."""

    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, task: Task, train: Sequence[Example]) -> Scale:
        """Raises SourceError where there is nothing to learn."""
        targets = np.array([example.label for example in train], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            found = cls(float(targets.mean()), float(targets.std()))
        if not (found.std > 0 and math.isfinite(found.std)):
            spread = "are all the same" if found.std == 0 else "have no finite standard deviation"
            raise SourceError(
                f"The {len(targets)} training targets of task {task.name} {spread}: a regression needs finite targets "
                "of more than one value."
            )
        return found


AS_IT_IS = Scale()


@dataclass(frozen=True)
class Encoded:
    """A tokenised split. Row i of every field is example i of the split.

    inputs: what the model takes, by name, int32. labels: one an example, int64, or float32 on `scale`; one a token,
    IGNORED where nothing is scored; or [examples, num_labels], float32, 1 where a label holds. num_labels: of the task,
    1 for a regression. word_starts: for token classification, the position of each word's first piece, TRUNCATED where
    it has none. references: the labels as scored, one a word. truncation: what was cut.
    """

    kind: Kind
    pad_id: int
    inputs: dict[str, list[np.ndarray]]
    labels: np.ndarray | list[np.ndarray]
    references: list[Any]
    word_starts: list[np.ndarray]
    num_labels: int
    scale: Scale = AS_IT_IS
    truncation: Truncation = NOTHING_CUT

    def __len__(self) -> int:
        return len(self.references)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens an example, special ones included: [examples], int64."""
        return np.array([len(row) for row in self.inputs["input_ids"]], dtype=np.int64)

    def constant_loss(self, class_weights: bool = False) -> float:
        """The mean loss of the best constant answer: the entropy of the labels, or their variance.

        class_weights: where they balance the loss, all classes that occur count alike.
        """
        if self.kind == "regression":
            return float(np.asarray(self.labels).var())
        if self.kind == "multi-label":
            rates = np.asarray(self.labels).mean(0)
            return float(np.mean(_entropy(np.stack([rates, 1 - rates]))))
        found, counts = self._class_counts()
        return float(_entropy(np.full(len(found), 1 / len(found)) if class_weights else counts / counts.sum()))

    def balanced_weights(self) -> np.ndarray:
        """scikit-learn's balanced weight of each class, 0 where one does not occur: [num_labels], float32."""
        classes, counts = self._class_counts()
        weights = np.zeros(self.num_labels, dtype=np.float32)
        weights[classes] = counts.sum() / (len(classes) * counts)
        return weights

    def _class_counts(self) -> tuple[np.ndarray, np.ndarray]:
        labels = np.concatenate(self.labels) if isinstance(self.labels, list) else self.labels
        classes, counts = np.unique(labels[labels != IGNORED], return_counts=True)
        return classes, counts

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """These examples, padded on the right to the longest of them."""
        import torch

        inputs = {
            key: _padded([rows[i] for i in indices], self.pad_id if key == "input_ids" else 0)
            for key, rows in self.inputs.items()
        }
        if isinstance(self.labels, list):
            labels = _padded([self.labels[i] for i in indices], IGNORED)
        else:
            labels = torch.from_numpy(self.labels[indices])
        scored = labels.numel() if labels.is_floating_point() else int((labels != IGNORED).sum())
        return Batch(inputs, labels, len(indices), scored, int(self.lengths[indices].sum()))


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Over the first axis, in nats; 0 times the logarithm of 0 is 0."""
    logarithms = np.log(probabilities, out=np.zeros(probabilities.shape), where=probabilities > 0)
    found: np.ndarray = -(probabilities * logarithms).sum(0)
    return found


def _padded(rows: list[np.ndarray], fill: int) -> torch.Tensor:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=fill).long()


@dataclass(frozen=True)
class Prepared:
    """task: with its labels. splits: by name, those that have examples. description: for the record. context: what a
    method may know. note: what is doubtful about the inputs, for the record.
    """

    task: Task
    splits: dict[str, Encoded]
    description: Data
    context: TaskContext
    note: str | None


@lru_cache(maxsize=CACHED)
def prepare(task_class: Hashable, data: Path, model: Path, budget: Budget) -> Prepared:
    """A task's splits, cut to a budget and tokenised for a model. The result is cached: it must not be changed.

    Args:
        task_class: a task's class.
        data: the file or folder that the task's source resolved to.
        model: the model's folder.
    """
    task = cast(type[Task], task_class)()
    tokenizer, found = load_tokenizer(model), limits(load_config(model))
    splits = read(task, data)
    examples = {name: examples_of(name, splits, budget) for name in (*SPLITS, *task.extra_tests)}
    scale = Scale.of(task, examples["train"]) if task.kind == "regression" else None
    encoded = {name: encode(task, part, tokenizer, found, scale or AS_IT_IS) for name, part in examples.items() if part}
    description = _describe(task, examples, splits, scale)
    description.max_length = longest(task, tokenizer, found)
    description.truncation = {name: split.truncation for name, split in encoded.items()}
    known = replace(context(task, tokenizer), lacks_pooler=lacks_pooler(model))
    return Prepared(task, encoded, description, known, pair_note(task, tokenizer))


def examples_of(split: str, splits: Splits, budget: Budget) -> list[Example]:
    """The examples of a split, or of an extra test, that a cell with this budget uses.

    Splits are shuffled by a fixed hash when a task is read, so the first ones are a random sample, the same for
    every method and seed, and a smaller sample is part of a larger one.
    """
    source = budget.source(split)
    return [] if source is None else splits[source][: budget.limit(source)]


def _describe(task: Task, examples: dict[str, list[Example]], splits: Splits, scale: Scale | None) -> Data:
    """The record's description of the data: sizes, label counts, a digest of every text and label, what was removed."""
    digest = hashlib.sha256()
    counts: dict[str, dict[str, int]] = {}
    for split, part in examples.items():
        for example in part:
            digest.update(json.dumps(example).encode())
        if task.kind != "regression":
            flat = Counter(index for e in part for index in (e.label if isinstance(e.label, tuple) else (e.label,)))
            counts[split] = {task.labels[int(index)]: flat[index] for index in sorted(flat)}
    sizes = {split: len(part) for split, part in examples.items()}
    return Data(
        examples=sizes,
        labels=list(task.labels),
        label_counts=counts,
        digest=f"sha256:{digest.hexdigest()}",
        removed=splits.removed if isinstance(splits, Cut) else None,
        conflicts=splits.conflicts if isinstance(splits, Cut) else None,
        dropped=splits.dropped if isinstance(splits, Cut) else None,
        target_mean=scale and scale.mean,
        target_std=scale and scale.std,
    )


def read(task: Task, path: Path) -> Splits:
    """A task's splits. The files may be damaged, or written by anyone.

    Raises:
        SourceError: if the task cannot read them, or an example's text or label does not fit the task.
    """
    try:
        splits = task.read(path)
        settle(task, splits)
    except (BenchError, MemoryError):
        raise
    except Exception as error:  # csv, XML, parquet and the task itself share no base class
        raise SourceError(
            f"The data of task {task.name} cannot be read from {path} ({first_line(error)}): "
            "the files are damaged, or they are not the files that the task was written for."
        ) from error
    for name, split in splits.items():
        for at, example in enumerate(split):
            if reason := _misfit(example, task):
                raise SourceError(
                    f"The data of task {task.name} in {path} do not fit the task: example {at} of {name}: {reason}."
                )
    if task.kind == "regression":
        Scale.of(task, splits["train"])
    return splits


def _misfit(example: Example, task: Task) -> str | None:
    """What in an example's texts and label is not of the task's kind, or none of its labels."""
    text, label, pair = example
    of_words = task.kind == "token-classification"
    for part in text if of_words and isinstance(text, tuple) else (text, *((pair,) if task.pair else ())):
        if part is None or part != part:
            return (
                f'a text is missing ({part!r}), as pandas has "NA", "null" and empty fields: leave such rows out, or '
                "read with keep_default_na=False"
            )
        if not isinstance(part, str):
            return f"the text is {_short(part)}"
    if pair is not None and not task.pair:
        return f"there is a second text, {_short(pair)}, and the task does not say pair = True"
    if of_words and not (isinstance(text, tuple) and isinstance(label, tuple) and len(text) == len(label) > 0):
        return f"text and label must be tuples of equal length, and are {_short(text)} and {_short(label)}"
    if task.kind == "regression":
        is_number = isinstance(label, int | float) and math.isfinite(label)
        return None if is_number else f"the label must be a finite number, and is {_short(label)}"
    several = of_words or task.kind == "multi-label"
    if not all(_is_index(each, task) for each in (label if several and isinstance(label, tuple) else (label,))):
        form = "a tuple of indices" if several else "an index"
        return f"the label must be {form} from 0 to {task.num_labels - 1}, or names of labels, and is {_short(label)}"
    if task.kind == "multi-label" and (not isinstance(label, tuple) or list(label) != sorted(set(label))):
        return f"the label must be a tuple of indices, ascending and each once, and is {_short(label)}"
    return None


def _is_index(label: Any, task: Task) -> bool:
    return isinstance(label, int) and 0 <= label < task.num_labels


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def encode(
    task: Task,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    found: Limits | None = None,
    scale: Scale = AS_IT_IS,
) -> Encoded:
    """Tokenise a split, and align its labels to the tokens.

    Args:
        found: what the model can take; None: anything.
        scale: of a regression's targets.
    """
    encoding = tokenise(task, examples, tokenizer, found)
    inputs = {
        key: [np.array(row, dtype=np.int32) for row in encoding[key]]
        for key in tokenizer.model_input_names
        if key in encoding and (found is None or key in found.inputs)
    }
    references: list[Any] = [list(e.label) if isinstance(e.label, tuple) else e.label for e in examples]
    starts: list[np.ndarray] = []
    labels: np.ndarray | list[np.ndarray]
    if task.kind == "token-classification":
        starts = [word_starts(e.text, encoding.encodings[i]) for i, e in enumerate(examples)]
        labels = [
            _piece_labels(label, at, len(row))
            for label, at, row in zip(references, starts, inputs["input_ids"], strict=True)
        ]
    elif task.kind == "regression":
        labels = ((np.array(references, dtype=np.float64) - scale.mean) / scale.std).astype(np.float32)
    elif task.kind == "multi-label":
        labels = np.zeros((len(examples), task.num_labels), dtype=np.float32)
        for row, holding in zip(labels, references, strict=True):
            row[holding] = 1
    else:
        labels = np.array(references, dtype=np.int64)
    cut = truncation(task, examples, tokenizer, encoding, longest(task, tokenizer, found))
    size = task.num_labels
    return Encoded(task.kind, int(tokenizer.pad_token_id), inputs, labels, references, starts, size, scale, cut)


def _piece_labels(label: Any, starts: np.ndarray, length: int) -> np.ndarray:
    """A word's label on its first piece, IGNORED everywhere else: [length]."""
    labels = np.full(length, IGNORED, dtype=np.int32)
    left = starts != TRUNCATED
    labels[starts[left]] = np.asarray(label, dtype=np.int32)[left]
    return labels
