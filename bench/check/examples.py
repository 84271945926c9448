"""Tiny tasks of every kind, their made-up examples, and the vocabulary that covers them."""

from __future__ import annotations

from string import ascii_lowercase

import numpy as np

from bench.plugins.task import Example, Task

WORDS = [
    "the", "film", "is", "very", "good", "bad", "not", "and", "of", "play", "##ed", "##ly", "##ing", "street", "road",
]  # fmt: skip
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *ascii_lowercase, *(f"##{c}" for c in ascii_lowercase)]
VOCAB += ["[", "]", ".", "!", "1", "2"]


class _Tiny(Task):
    summary, source, max_length = "made up", "./nowhere", 16


class TinyClassification(_Tiny):
    name, kind, labels, metric = "tiny", "classification", ("no", "maybe", "yes"), "accuracy"


class TinyPair(_Tiny):
    name, kind, pair, labels, metric = "tiny-pair", "classification", True, ("no", "yes"), "accuracy"


class TinyMultiLabel(_Tiny):
    name, kind, labels, metric = "tiny-multi-label", "multi-label", ("no", "maybe", "yes"), "f1_micro"


class TinyRegression(_Tiny):
    name, kind, metric = "tiny-regression", "regression", "spearman"


class TinyTokens(_Tiny):
    name, kind, labels, metric = "tiny-tokens", "token-classification", ("O", "B-X", "I-X"), "entity_f1"


KINDS = ("classification", "pair", "multi-label", "regression", "token-classification")
_TASKS = dict(zip(KINDS, (TinyClassification, TinyPair, TinyMultiLabel, TinyRegression, TinyTokens), strict=True))


def task(kind: str) -> Task:
    """The tiny task of one of KINDS."""
    return _TASKS[kind]()


def examples(kind: str, count: int = 12, seed: int = 0) -> list[Example]:
    """Examples of 1 to 20 words; the longest are truncated at 16 tokens."""
    draw = np.random.default_rng(seed)
    plain = [word for word in WORDS if not word.startswith("##")] + ["played", "badly", "goodly"]

    def words() -> list[str]:
        found: list[str] = draw.choice(plain, size=draw.integers(1, 21)).tolist()
        return found

    def example() -> Example:
        text = words()
        if kind == "token-classification":
            return Example(tuple(text), tuple(draw.integers(0, 3, size=len(text)).tolist()))
        if kind == "multi-label":
            return Example(" ".join(text), tuple(np.flatnonzero(draw.random(3) < 0.4).tolist()))
        if kind == "regression":
            return Example(" ".join(text), float(draw.normal()))
        if kind == "pair":
            return Example(" ".join(text), int(draw.integers(2)), " ".join(words()))
        return Example(" ".join(text), int(draw.integers(3)))

    return [example() for _ in range(count)]
