"""From a task's examples to token ids: sampling, tokenising, padding, and labels aligned to pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.task import Example, Kind, Task

if TYPE_CHECKING:
    import torch
    from transformers import BatchEncoding, PreTrainedTokenizerBase

IGNORED = -100  # the label of a position that is not scored; torch's cross entropy skips it
CUT_OFF = -1  # the answer for a word that truncation removed


@dataclass(frozen=True)
class Batch:
    """One padded batch.

    inputs: what the model takes, each [batch, length], int64. labels: [batch] class indices (int64) or
    numbers (float32), or [batch, length] with IGNORED where nothing is scored. scored: the number of
    labels that count, which is what a mean loss divides by. tokens: non-padding tokens.
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    examples: int
    scored: int
    tokens: int


@dataclass(frozen=True)
class Encoded:
    """A tokenised split. Row i of every field is example i of the split.

    word_starts: for token classification, the position of each word's first piece, CUT_OFF where
    truncation removed the word; empty otherwise. references: the labels as scored, a word once.
    """

    kind: Kind
    pad_id: int
    rows: list[dict[str, np.ndarray]]
    labels: list[Any]
    references: list[Any]
    word_starts: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens an example, special ones included: [examples], int64."""
        return np.array([len(row["input_ids"]) for row in self.rows], dtype=np.int64)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """These examples, padded on the right to the longest of them."""
        import torch

        rows = [self.rows[i] for i in indices]
        lengths = [len(row["input_ids"]) for row in rows]
        fill = {"input_ids": self.pad_id}
        inputs = {key: _padded([row[key] for row in rows], max(lengths), fill.get(key, 0)) for key in rows[0]}
        if self.kind == "token-classification":
            labels = _padded([self.labels[i] for i in indices], max(lengths), IGNORED)
            scored = int((labels != IGNORED).sum())
        else:
            labels = np.array([self.labels[i] for i in indices])
            labels = labels.astype(np.float32 if self.kind == "regression" else np.int64)
            scored = len(rows)
        tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
        return Batch(tensors, torch.from_numpy(labels), len(rows), scored, sum(lengths))


def _padded(rows: Sequence[np.ndarray], width: int, fill: int) -> np.ndarray:
    padded = np.full((len(rows), width), fill, dtype=np.int64)
    for at, row in enumerate(rows):
        padded[at, : len(row)] = row
    return padded


def sample(examples: Sequence[Example], limit: int | None) -> list[Example]:
    """The first `limit` examples of a split, or all.

    Splits are shuffled by a fixed hash when a task is read, so this is a random sample, the same for
    every method and seed, and the smaller sample of two is part of the larger.
    """
    return list(examples if limit is None else examples[:limit])


def tokenise(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int | None = None
) -> BatchEncoding:
    """The token ids of examples, unpadded, with a mask of the special tokens that the tokenizer put around them.

    A special token's name that stands in a text ("[SEP]") is read as the characters that it is, so it
    cannot pose as a special token.

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
    keys = [key for key in tokenizer.model_input_names if key in encoding]
    rows = [{key: np.asarray(encoding[key][i], dtype=np.int64) for key in keys} for i in range(len(examples))]
    labels: list[Any] = [e.label for e in examples]
    references: list[Any] = [list(e.label) if isinstance(e.label, tuple) else e.label for e in examples]
    word_starts: list[np.ndarray] = []
    if task.kind == "token-classification":
        word_starts = [_first_pieces(encoding.word_ids(i), len(e.text)) for i, e in enumerate(examples)]
        labels = [
            _piece_labels(e.label, starts, len(row["input_ids"]))
            for e, starts, row in zip(examples, word_starts, rows, strict=True)
        ]
    return Encoded(task.kind, int(tokenizer.pad_token_id), rows, labels, references, word_starts)


def _first_pieces(word_ids: Iterable[int | None], words: int) -> np.ndarray:
    """The position of each word's first piece: [words], CUT_OFF where it has none."""
    starts = np.full(words, CUT_OFF, dtype=np.int64)
    for position, word in enumerate(word_ids):
        if word is not None and starts[word] == CUT_OFF:
            starts[word] = position
    return starts


def _piece_labels(label: Any, starts: np.ndarray, length: int) -> np.ndarray:
    """A word's label on its first piece, IGNORED everywhere else: [length]."""
    labels = np.full(length, IGNORED, dtype=np.int64)
    kept = starts != CUT_OFF
    labels[starts[kept]] = np.asarray(label, dtype=np.int64)[kept]
    return labels
