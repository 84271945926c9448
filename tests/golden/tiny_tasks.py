"""The tiny tasks of every kind with made-up examples to train on, as a plugin file."""

from pathlib import Path

from bench.check import examples
from bench.plugins.task import Example, Splits


def _splits(kind: str, *more: str) -> Splits:
    return {
        name: [_learnable(kind, each) for each in examples.examples(kind, count=40, seed=seed)]
        for seed, name in enumerate(("train", "validation", "test", *more), start=1)
    }


def _learnable(kind: str, example: Example) -> Example:
    """With a label that can be told from the words, so that losses fall and answers differ."""
    if kind == "token-classification":
        return example._replace(label=tuple(len(word) % 3 for word in example.text))
    good = str(example.text).count("good") - str(example.text).count("bad")
    if kind == "regression":
        return example._replace(label=float(good))
    return example._replace(label=int(good > 0) if kind == "pair" else (good > 0) + (good >= 0))


class GoldenClassification(examples.TinyClassification):
    name = "golden-classification"
    extra_tests = ("harder",)

    def read(self, path: Path) -> Splits:
        return _splits("classification", "harder")


class GoldenPair(examples.TinyPair):
    name = "golden-pair"

    def read(self, path: Path) -> Splits:
        return _splits("pair")


class GoldenRegression(examples.TinyRegression):
    name = "golden-regression"

    def read(self, path: Path) -> Splits:
        return _splits("regression")


class GoldenTokens(examples.TinyTokens):
    name = "golden-token-classification"

    def read(self, path: Path) -> Splits:
        return _splits("token-classification")
