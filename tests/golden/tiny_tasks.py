"""The tiny tasks of every kind, with made-up examples that can be learned, as a plugin file."""

from pathlib import Path

from bench.check import examples
from bench.plugins.task import Example, Splits, Task


def _learnable(kind: str, example: Example) -> Example:
    """With a label that follows from the words, so that losses fall and predictions differ."""
    if kind == "token-classification":
        return example._replace(label=tuple(len(word) % 3 for word in example.text))
    if kind == "multi-label":
        return example._replace(
            label=tuple(at for at, word in enumerate(("good", "bad", "the")) if word in example.text)
        )
    good = str(example.text).count("good") - str(example.text).count("bad")
    if kind == "regression":
        return example._replace(label=float(good))
    return example._replace(label=int(good > 0) if kind == "pair" else (good > 0) + (good >= 0))


class _Golden(Task):
    def read(self, path: Path) -> Splits:
        kind = self.name.removeprefix("golden-")
        return {
            name: [_learnable(kind, each) for each in examples.examples(kind, count=40, seed=seed)]
            for seed, name in enumerate(("train", "validation", "test", *self.extra_tests), start=1)
        }


class GoldenClassification(_Golden, examples.TinyClassification):
    name, extra_tests = "golden-classification", ("harder",)


class GoldenPair(_Golden, examples.TinyPair):
    name = "golden-pair"


class GoldenMultiLabel(_Golden, examples.TinyMultiLabel):
    name = "golden-multi-label"


class GoldenRegression(_Golden, examples.TinyRegression):
    name = "golden-regression"


class GoldenTokens(_Golden, examples.TinyTokens):
    name = "golden-token-classification"
