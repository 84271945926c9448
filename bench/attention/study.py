"""A look at the attention of a model on a task's examples, before tuning and after: measuring, and rows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.adapters import restore
from bench.attention.measure import VERTICAL, Shares, attention_maps, measure, slot_names
from bench.errors import UsageError
from bench.plugins.method import Method
from bench.plugins.task import Example, Task
from bench.train.data import read, sample, tokenise
from bench.train.model import backbone, context, load_model, load_tokenizer, quiet_libraries

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

BEFORE, AFTER = "before", "after"
PICTURE_TOKENS = 64  # a longer sentence is cut for its picture
PLEASANT_TOKENS = 24  # what a sentence has at most to be chosen for the picture


@dataclass(frozen=True)
class Question:
    """What to look at. Layers and heads count from 1.

    head: the (layer, head) that is pictured; None: the most vertical one. sentence: the example that is pictured;
    None: one of the measured. method, adapter: what was trained and its folder; None: the pretrained model alone.
    """

    model: str
    model_path: Path
    task: Task
    data: Path
    examples: int
    head: tuple[int, int] | None = None
    sentence: Example | None = None
    method: Method | None = None
    adapter: Path | None = None


@dataclass(frozen=True)
class Sentence:
    """The attention of every head on one text.

    tokens: as text; special: which of them are special, [length]. cut: it was longer than PICTURE_TOKENS.
    maps: before and, with an adapter, after: [layers, heads, length, length], a row the token that looks.
    """

    tokens: list[str]
    special: np.ndarray
    cut: bool
    maps: dict[str, np.ndarray]


@dataclass(frozen=True)
class Study:
    """What was found: shares before and, with an adapter, after; and one sentence."""

    question: Question
    split: str
    slots: list[str]
    shares: dict[str, Shares]
    sentence: Sentence

    @property
    def before(self) -> Shares:
        return self.shares[BEFORE]

    @property
    def after(self) -> Shares | None:
        return self.shares.get(AFTER)

    @property
    def change(self) -> np.ndarray | None:
        """By how much the share of the special tokens rose, [layers, heads]; None without an adapter."""
        return None if self.after is None else self.after.special - self.before.special

    @cached_property
    def ranking(self) -> list[tuple[int, int]]:
        """(layer, head) of all heads, counted from 1, the most vertical one before tuning first."""
        special = self.before.special
        order = np.argsort(-special, axis=None, kind="stable")
        return [(int(at) // special.shape[1] + 1, int(at) % special.shape[1] + 1) for at in order]

    @property
    def pictured(self) -> tuple[int, int]:
        """(layer, head) of the sentence's picture, counted from 1."""
        return self.question.head or self.ranking[0]

    def pictured_maps(self) -> dict[str, np.ndarray]:
        """The pictured head's attention on the sentence, [length, length] each."""
        layer, head = self.pictured
        return {when: maps[layer - 1, head - 1] for when, maps in self.sentence.maps.items()}

    def head_rows(self) -> list[dict[str, Any]]:
        """A row a head and time. Shares are of 1; the slots' and ordinary_share make 1 together."""
        return [
            {
                "when": when,
                "layer": layer + 1,
                "head": head + 1,
                "special_share": float(shares.special[layer, head]),
                "uniform_share": shares.uniform_special,
                "ordinary_share": float(shares.ordinary[layer, head]),
                **{
                    f"share_{name.replace(' ', '_')}": float(shares.slots[slot, layer, head])
                    for slot, name in enumerate(self.slots)
                },
            }
            for when, shares in self.shares.items()
            for layer, head in np.ndindex(shares.special.shape)
        ]

    def sentence_rows(self) -> list[dict[str, Any]]:
        """A row a pair of tokens and time: how much of one token's attention goes to another. Positions from 1."""
        layer, head = self.pictured
        tokens, special = self.sentence.tokens, self.sentence.special
        return [
            {
                "when": when,
                "layer": layer,
                "head": head,
                "from_position": start + 1,
                "from_token": tokens[start],
                "to_position": to + 1,
                "to_token": tokens[to],
                "to_is_special": bool(special[to]),
                "attention": float(attention[start, to]),
            }
            for when, attention in self.pictured_maps().items()
            for start, to in np.ndindex(attention.shape)
        ]

    def summary(self) -> dict[str, Any]:
        """All of it but the sentence's single weights, as JSON's types."""
        question, (layer, head) = self.question, self.pictured
        return {
            "model": question.model,
            "task": question.task.name,
            "split": self.split,
            "examples": self.before.examples,
            "method": question.method.name if question.method else None,
            "adapter": str(question.adapter) if question.adapter else None,
            "special_tokens": self.slots,
            "uniform_share": self.before.uniform_special,
            "vertical_above": VERTICAL,
            "vertical_heads": {when: shares.vertical for when, shares in self.shares.items()},
            "mean_special_share": {when: float(shares.special.mean()) for when, shares in self.shares.items()},
            "sentence": {"layer": layer, "head": head, "tokens": self.sentence.tokens, "cut": self.sentence.cut},
            "heads": self.head_rows(),
        }


def study(question: Question) -> Study:
    """Measure the model and, where there is an adapter, the model with it, on the same texts.

    Runs on the CPU. What can be wrong with the question is found before anything is measured.

    Raises:
        BenchError: if the model, its attention, the head or the adapter is not to be had.
    """
    quiet_libraries()
    task = question.task
    splits = read(task, question.data)
    split = next((name for name in ("validation", "test") if splits.get(name)), None)
    if split is None:
        raise UsageError(f"The task {task.name} has neither validation nor test examples.")
    tokenizer = load_tokenizer(question.model_path)
    if tokenizer.pad_token_id is None:
        raise UsageError(f"The tokenizer of {question.model} has no padding token: it is not an encoder's.")
    examples = sample(splits[split], question.examples)
    texts = tokenise(task, examples, tokenizer)
    pictured = question.sentence or _pleasant(examples, texts)
    picture = tokenise(task, [pictured], tokenizer, max_length=min(task.max_length, PICTURE_TOKENS))
    model: Any = load_model(question.model_path, task.kind, task.num_labels)
    encoder: Any = backbone(model)
    maps = {BEFORE: attention_maps(model, encoder, tokenizer, picture)}
    _check_head(question.head, maps[BEFORE].shape)
    shares = {BEFORE: measure(model, encoder, tokenizer, texts)}
    if question.method is not None and question.adapter is not None:
        module = restore(model, question.method, question.adapter, context(task, tokenizer))
        maps[AFTER] = attention_maps(module, encoder, tokenizer, picture)
        shares[AFTER] = measure(module, encoder, tokenizer, texts)
    full = max(range(len(examples)), key=lambda i: sum(texts["special_tokens_mask"][i]))
    special_ids = [
        token
        for token, special in zip(texts["input_ids"][full], texts["special_tokens_mask"][full], strict=True)
        if special
    ]
    sentence = Sentence(
        tokens=[_token_text(tokenizer, token) for token in picture["input_ids"][0]],
        special=np.asarray(picture["special_tokens_mask"][0], dtype=bool),
        cut=len(tokenise(task, [pictured], tokenizer)["input_ids"][0]) > len(picture["input_ids"][0]),
        maps=maps,
    )
    names = slot_names([_token_text(tokenizer, token) for token in special_ids])
    return Study(question, split, names, shares, sentence)


def _pleasant(examples: Sequence[Example], texts: BatchEncoding) -> Example:
    """The first example that is neither very short nor too long for a picture; the shortest where there is none."""
    lengths = [len(ids) for ids in texts["input_ids"]]
    fitting = (i for i, length in enumerate(lengths) if PLEASANT_TOKENS // 2 <= length <= PLEASANT_TOKENS)
    return examples[next(fitting, int(np.argmin(lengths)))]


def _check_head(head: tuple[int, int] | None, shape: tuple[int, ...]) -> None:
    layers, heads = shape[:2]
    if head is not None and not (1 <= head[0] <= layers and 1 <= head[1] <= heads):
        raise UsageError(
            f"There is no head {head[1]} in layer {head[0]}: there are layers 1 to {layers} with heads 1 to {heads}."
        )


def _token_text(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """A token as a reader knows it: byte-level vocabularies write a space as a letter of their own."""
    text = str(tokenizer.decode([token])).strip()
    return text if text and "\ufffd" not in text else str(tokenizer.convert_ids_to_tokens(token))
