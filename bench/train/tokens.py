"""From texts to token ids: what a model and its tokenizer can take, where each word begins, and what is cut.

torch is imported inside functions: plugins import this module.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.errors import SourceError, first_line
from bench.plugins.task import Example, Task
from bench.records.record import Truncation
from bench.train.model import meta_model, special_tokens

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedConfig, PreTrainedTokenizerBase

TRUNCATED = -1  # in place of the position, or the prediction, of a word without a piece: cut off, or nothing to read
_POSITION_TABLES = ("position_embeddings", "embed_positions", "wpe")  # as the families name them


NOTHING_CUT = Truncation(examples=0.0, content=0.0)


class Limits(NamedTuple):
    """What a model can take, by its configuration.

    vocabulary, segments: rows of the tables of token ids and of segment ids; None: it has no such table.
    positions: tokens that the table of positions holds; None: positions are relative or computed. padding: the token id
    that the table of positions counts as padding; None: any. inputs: names of what it takes.
    """

    vocabulary: int | None
    positions: int | None
    padding: int | None
    segments: int | None
    inputs: frozenset[str]


def limits(config: PreTrainedConfig) -> Limits:
    """What a model of this configuration can take, read from its tables on the meta device.

    Raises:
        SourceError: if transformers has no model with a head for texts of this configuration.
    """
    from torch import nn

    try:
        model: Any = meta_model(config, "classification", 2).base_model
    except Exception as error:  # a configuration may hold anything
        raise SourceError(
            f"transformers cannot make a {config.model_type!r} model for texts: {first_line(error)}"
        ) from error
    tables = {name.rpartition(".")[2]: part for name, part in model.named_modules() if isinstance(part, nn.Embedding)}
    positions = padding = None
    for name in _POSITION_TABLES:
        if table := tables.get(name):
            # RoBERTa's kind keeps the first rows for padding: position 0 is row padding_idx + 1.
            padding = table.padding_idx
            offset = getattr(table, "offset", 0) if padding is None else padding + 1
            positions = table.num_embeddings - offset
    segments = tables.get("token_type_embeddings")
    inputs = set(inspect.signature(model.forward).parameters)
    if "wte" in tables:  # GPT-2's kind would add the embedding of token 0 or 1
        inputs.discard("token_type_ids")
    return Limits(
        vocabulary=getattr(config, "vocab_size", None),
        positions=positions,
        padding=padding,
        segments=None if segments is None else segments.num_embeddings,
        inputs=frozenset(inputs),
    )


def pair_note(task: Task, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """What is doubtful about a pair whose texts are not divided, in a sentence; None: nothing."""
    if not task.pair or any(tokenizer("a", "a").get("token_type_ids", ())):
        return None
    if len(special_tokens(tokenizer, pair=True)) > len(special_tokens(tokenizer, pair=False)):
        return None
    return "The tokenizer puts nothing between the two texts of a pair: the model is not told where the second begins."


def longest(task: Task, tokenizer: PreTrainedTokenizerBase, found: Limits | None) -> int:
    """Tokens that an input may have, special ones included: the same for every method.

    The task's max_length, or less where the model has fewer positions or its tokenizer says so (model_max_length).
    """
    bounds = (task.max_length, tokenizer.model_max_length, found and found.positions)
    return int(min(bound for bound in bounds if isinstance(bound, int | float)))  # a file may say anything


def tokenise(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, found: Limits | None = None
) -> BatchEncoding:
    """The token ids of examples, unpadded, with a mask of the special tokens that the tokenizer added.

    Words are tokenised as a text, joined by spaces: many tokenizers read a word after a space differently. The name of
    a special token in a text ("[SEP]") is read as plain characters.
    """
    return tokenizer(
        *_inputs(task, examples),
        truncation=True,
        max_length=longest(task, tokenizer, found),
        split_special_tokens=True,
        return_special_tokens_mask=True,
    )


def _inputs(task: Task, examples: Sequence[Example]) -> tuple[list[str], list[str | None] | None]:
    """What a tokenizer takes: first texts, and the second ones of pairs."""
    texts = [_joined(e.text)[0] if isinstance(e.text, tuple) else e.text for e in examples]
    return texts, [e.pair for e in examples] if task.pair else None


def _joined(words: Sequence[str]) -> tuple[str, np.ndarray]:
    """Words as one text, and where each ends in it: [words]. A blank word is left out, and ends where the last did."""
    text, ends = "", []
    for word in words:
        if part := word.strip():
            text += f" {part}" if text else part
        ends.append(len(text))
    return text, np.array(ends)


def word_starts(words: Sequence[str], encoding: Any) -> np.ndarray:
    """The position of each word's first piece: [words], int32, TRUNCATED where it has none.

    A piece belongs to the word in which it begins, and one that begins with the space before a word to that word.
    encoding: of these words by `tokenise`, a `tokenizers.Encoding`.
    """
    _, ends = _joined(words)
    starts = np.full(len(words), TRUNCATED, dtype=np.int32)
    at = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
    begins = np.array([begin for begin, _ in encoding.offsets], dtype=np.int64)[at]
    owners = np.searchsorted(ends, begins, side="right")
    found, first = np.unique(owners[owners < len(words)], return_index=True)
    starts[found] = at[first]
    return starts


def truncation(
    task: Task, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, encoding: BatchEncoding, most: int
) -> Truncation:
    """What `tokenise` cut from these examples: they are tokenised once more, uncut, as far as they are that long."""
    lengths = [len(row) for row in encoding["input_ids"]]
    full_at = [at for at, length in enumerate(lengths) if length >= most]
    if not full_at:
        return NOTHING_CUT
    inputs = _inputs(task, [examples[at] for at in full_at])
    whole = tokenizer(*inputs, split_special_tokens=True)["input_ids"]
    lost = {at: len(row) - lengths[at] for at, row in zip(full_at, whole, strict=True) if len(row) > lengths[at]}
    if task.kind == "token-classification":
        all_of_it = sum(len(example.text) for example in examples)
        gone = sum(_words_cut(examples[at].text, encoding.encodings[at]) for at in lost)
    else:
        special = sum(sum(mask) for mask in encoding["special_tokens_mask"])
        gone = sum(lost.values())
        all_of_it = sum(lengths) - special + gone
    return Truncation(examples=len(lost) / len(examples), content=gone / all_of_it)


def _words_cut(words: Sequence[str], encoding: Any) -> int:
    """The words that end before the first, or begin after the last character that is left."""
    offsets = [
        each for each, special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True) if not special
    ]
    first, last = min(begin for begin, _ in offsets), max(end for _, end in offsets)
    _, ends = _joined(words)
    begins = ends - [len(word.strip()) for word in words]
    return int(((begins >= last) | (ends <= first)).sum())
