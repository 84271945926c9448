"""From a task's examples to token ids: sampling, tokenising, padding, and labels aligned to pieces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError, SourceError, first_line
from bench.plugins.task import Example, Kind, Splits, Task

if TYPE_CHECKING:
    import torch
    from transformers import BatchEncoding, PreTrainedTokenizerBase

IGNORED = -100  # the label of a position that is not scored; torch's cross entropy skips it
TRUNCATED = -1  # in place of the position, or of the prediction, of a word that truncation removed


@dataclass(frozen=True)
class Batch:
    """One padded batch.

    inputs: what the model takes, each [batch, length], int64. labels: [batch] class indices (int64) or
    numbers (float32), or [batch, length] with IGNORED where nothing is scored. scored: the number of
    labels that count, by which a mean loss is divided. tokens: non-padding tokens.
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


@dataclass(frozen=True)
class Ragged:
    """Rows of unequal length in one array, end to end: row i is values[offsets[i]:offsets[i + 1]].

    values: [all rows' lengths together]. offsets: [rows + 1], int64.
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | np.ndarray]) -> Ragged:
        """As int32, which holds any vocabulary's ids."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=offsets[-1]), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def part(self, rows: Sequence[int] | np.ndarray) -> Ragged:
        """These rows alone, in this order."""
        return Ragged.of([self[row] for row in rows])

    @property
    def lengths(self) -> np.ndarray:
        """[rows], int64."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Encoded:
    """A tokenised split. Row i of every field is example i of the split.

    inputs: what the model takes, by name, rows of one length each. labels: one an example, int64 or float32, or a
    row of one a token, IGNORED where nothing is scored. word_starts: for token classification, the position of
    each word's first piece, TRUNCATED where truncation removed the word; empty otherwise. references: the labels as
    scored, a word once.
    """

    kind: Kind
    pad_id: int
    inputs: dict[str, Ragged]
    labels: np.ndarray | Ragged
    references: list[Any]
    word_starts: Ragged

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens an example, special ones included: [examples], int64."""
        return self.inputs["input_ids"].lengths

    def part(self, indices: Sequence[int] | np.ndarray) -> Encoded:
        """These examples alone, in this order."""
        return Encoded(
            self.kind,
            self.pad_id,
            {key: rows.part(indices) for key, rows in self.inputs.items()},
            self.labels.part(indices) if isinstance(self.labels, Ragged) else self.labels[np.asarray(indices)],
            [self.references[i] for i in indices],
            self.word_starts.part(indices) if len(self.word_starts) else self.word_starts,
        )

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """These examples, padded on the right to the longest of them."""
        import torch

        chosen = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[chosen]
        # The same for all inputs, whose rows have the same lengths: the place of each token in the flat values.
        # Padding points at the first value and is overwritten.
        columns = np.arange(lengths.max())
        outside = columns >= lengths[:, None]
        places = self.inputs["input_ids"].offsets[chosen, None] + columns
        places[outside] = 0

        def padded(rows: Ragged, fill: int) -> np.ndarray:
            values = rows.values[places].astype(np.int64)
            values[outside] = fill
            return values

        inputs = {
            key: torch.from_numpy(padded(rows, self.pad_id if key == "input_ids" else 0))
            for key, rows in self.inputs.items()
        }
        if isinstance(self.labels, Ragged):
            labels = padded(self.labels, IGNORED)
            scored = int((labels != IGNORED).sum())
        else:
            labels = self.labels[chosen]
            scored = len(chosen)
        return Batch(inputs, torch.from_numpy(labels), len(chosen), scored, int(lengths.sum()))


def read(task: Task, path: Path) -> Splits:
    """A task's splits. The files may be damaged, or written by anyone.

    Raises:
        SourceError: if the task cannot read them, or an example's text or label does not fit the task.
    """
    try:
        splits = task.read(path)
    except (BenchError, MemoryError):
        raise
    except Exception as error:  # csv, XML, parquet and the task itself share no base class
        raise SourceError(
            f"The data of task {task.name} cannot be read from {path} ({first_line(error)}): "
            "the files are damaged, or they are not the files that the task was written for."
        ) from error
    for name, split in splits.items():
        for at, example in enumerate(split):
            if not _fits(example, task):
                raise SourceError(
                    f"The data of task {task.name} in {path} do not fit the task: example {at} of {name} has the text "
                    f"{_short(example.text)} and the label {_short(example.label)}."
                )
    return splits


def _fits(example: Example, task: Task) -> bool:
    """Whether an example's text, second text and label are of the task's kind, and the label one of the task's."""
    text, label, pair = example
    if isinstance(pair, str) != task.pair:
        return False
    if task.kind == "token-classification":
        if not (isinstance(text, tuple) and isinstance(label, tuple) and len(text) == len(label) > 0):
            return False
        return all(isinstance(word, str) for word in text) and all(_is_index(each, task) for each in label)
    if not isinstance(text, str):
        return False
    if task.kind == "regression":
        return isinstance(label, int | float) and math.isfinite(label)
    return _is_index(label, task)


def _is_index(label: Any, task: Task) -> bool:
    return isinstance(label, int) and 0 <= label < task.num_labels


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def sample(examples: Sequence[Example], limit: int | None) -> list[Example]:
    """The first `limit` examples of a split, or all.

    Splits are shuffled by a fixed hash when a task is read, so this is a random sample, the same for
    every method and seed, and a smaller sample is part of a larger one.
    """
    return list(examples if limit is None else examples[:limit])


def tokenise(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int | None = None
) -> BatchEncoding:
    """The token ids of examples, unpadded, with a mask of the special tokens that the tokenizer added.

    The name of a special token in a text ("[SEP]") is read as plain characters.

    Args:
        max_length: tokens that a text is cut to; None: the task's.
    """
    words = task.kind == "token-classification"
    texts = [list(e.text) if words else e.text for e in examples]
    pairs = [e.pair for e in examples] if task.pair else None
    return tokenizer(
        texts,
        pairs,
        is_split_into_words=words,
        truncation=True,
        max_length=max_length or task.max_length,
        split_special_tokens=True,
        return_special_tokens_mask=True,
    )


def encode(task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """Tokenise a split, and align its labels to the tokens."""
    encoding = tokenise(task, examples, tokenizer)
    inputs = {key: Ragged.of(encoding[key]) for key in tokenizer.model_input_names if key in encoding}
    references: list[Any] = [list(e.label) if isinstance(e.label, tuple) else e.label for e in examples]
    starts: list[np.ndarray] = []
    labels: np.ndarray | Ragged
    if task.kind == "token-classification":
        starts = [_first_pieces(encoding.word_ids(i), len(e.text)) for i, e in enumerate(examples)]
        lengths = inputs["input_ids"].lengths
        labels = Ragged.of([_piece_labels(*row) for row in zip(references, starts, lengths, strict=True)])
    else:
        labels = np.array(references, dtype=np.float32 if task.kind == "regression" else np.int64)
    return Encoded(task.kind, int(tokenizer.pad_token_id), inputs, labels, references, Ragged.of(starts))


def _first_pieces(word_ids: Iterable[int | None], words: int) -> np.ndarray:
    """The position of each word's first piece: [words], TRUNCATED where it has none."""
    starts = np.full(words, TRUNCATED, dtype=np.int64)
    for position, word in enumerate(word_ids):
        if word is not None and starts[word] == TRUNCATED:
            starts[word] = position
    return starts


def _piece_labels(label: Any, starts: np.ndarray, length: int) -> np.ndarray:
    """A word's label on its first piece, IGNORED everywhere else: [length]."""
    labels = np.full(length, IGNORED, dtype=np.int64)
    kept = starts != TRUNCATED
    labels[starts[kept]] = np.asarray(label, dtype=np.int64)[kept]
    return labels
