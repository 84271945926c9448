"""A tiny BERT with a real WordPiece tokenizer, tiny tasks of every kind, and what tests do with them."""

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import seeds
from bench.adaptation import Adapted, adapt
from bench.data import Encoded, encode
from bench.method import Method, Recipe
from bench.modeling import context, load_model, load_tokenizer
from bench.task import Example, Task, TaskContext

KINDS = ("classification", "pair", "regression", "token-classification")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = [
    "the",
    "film",
    "is",
    "very",
    "good",
    "bad",
    "not",
    "and",
    "of",
    "play",
    "##ed",
    "##ly",
    "##ing",
    "street",
    "road",
]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*WORDS, *LETTERS, *(f"##{c}" for c in LETTERS)])]
VOCAB += ["[", "]", ".", "!", "1", "2"]
CLS, SEP, PAD = 2, 3, 0
HIDDEN, LAYERS = 32, 3


def config(**changes: Any) -> Any:
    """The tiny BERT's configuration. Its weights are large, so that what is compared is not all zeros."""
    from transformers import BertConfig

    settings = {
        "vocab_size": len(VOCAB),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
    }
    return BertConfig(**{**settings, **changes})


def save(folder: Path) -> Path:
    """Write model and tokenizer as a pretrained model's folder: config, safetensors, tokenizer files."""
    import torch
    from transformers import BertModel, BertTokenizer

    torch.manual_seed(20)
    model = BertModel(config())
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:  # biases and norms start as constants, which would hide mistakes with them
            torch.nn.init.normal_(parameter, mean=float(name.endswith("LayerNorm.weight")), std=0.1)
    model.save_pretrained(folder)
    BertTokenizer(vocab={token: index for index, token in enumerate(VOCAB)}).save_pretrained(folder)
    return folder


class _Tiny(Task):
    summary = "for tests"
    source = "./nowhere"
    max_length = 16

    def read(self, path: Path) -> Any:
        raise NotImplementedError


class TinyClassification(_Tiny):
    name, kind, labels, metric = "tiny", "classification", ("no", "maybe", "yes"), "accuracy"


class TinyPair(_Tiny):
    name, kind, pair, labels, metric = "tiny-pair", "classification", True, ("no", "yes"), "accuracy"


class TinyRegression(_Tiny):
    name, kind, metric = "tiny-regression", "regression", "spearman"


class TinyTokens(_Tiny):
    name, kind, labels, metric = "tiny-tokens", "token-classification", ("O", "B-X", "I-X"), "entity_f1"


_TASKS = {
    "classification": TinyClassification,
    "pair": TinyPair,
    "regression": TinyRegression,
    "token-classification": TinyTokens,
}


def task(kind: str) -> Task:
    return _TASKS[kind]()


def examples(kind: str, count: int = 12, seed: int = 0) -> list[Example]:
    """Examples of 1 to 20 words; the longest are truncated at 16 tokens."""
    draw = np.random.default_rng(seed)
    plain = [word for word in WORDS if not word.startswith("##")] + ["played", "badly", "goodly"]

    def text() -> list[str]:
        return draw.choice(plain, size=draw.integers(1, 21)).tolist()

    made = []
    for _ in range(count):
        words = text()
        if kind == "token-classification":
            made.append(Example(tuple(words), tuple(draw.integers(0, 3, size=len(words)).tolist())))
        elif kind == "regression":
            made.append(Example(" ".join(words), float(draw.normal())))
        elif kind == "pair":
            made.append(Example(" ".join(words), int(draw.integers(2)), " ".join(text())))
        else:
            made.append(Example(" ".join(words), int(draw.integers(3))))
    return made


@cache
def _tokenizer(path: Path) -> Any:
    return load_tokenizer(path)


@cache
def _model(path: Path, kind: str) -> Any:
    return load_model(path, task(kind).kind, task(kind).num_labels)


@dataclass(frozen=True)
class Tiny:
    """The tiny model's folder and what is made from it. What is read from disk is read once."""

    path: Path

    @property
    def tokenizer(self) -> Any:
        return _tokenizer(self.path)

    def data(self, kind: str, count: int = 12, seed: int = 0) -> Encoded:
        return encode(task(kind), examples(kind, count, seed), self.tokenizer)

    def context(self, kind: str) -> TaskContext:
        return context(task(kind), self.tokenizer)

    def model(self, kind: str) -> Any:
        """A fresh copy, in evaluation mode, its head not drawn by a seed."""
        return copy.deepcopy(_model(self.path, kind)).eval()

    def adapted(self, method: Method, kind: str, seed: int = 0, model: Any = None) -> Adapted:
        """A fresh copy with a method on it, in evaluation mode."""
        result = adapt(model or self.model(kind), method, self.context(kind), seeds.streams(seed))
        result.module.eval()
        return result


def recipe(**changes: Any) -> Recipe:
    """Four examples a batch, one epoch."""
    return Recipe(**{"learning_rate": 1e-2, "epochs": 1, "batch_size": 4, "chosen_by": "a test", **changes})


def logits(module: Any, data: Encoded) -> Any:
    """All examples in one padded batch, without gradients and in the mode the module is in."""
    import torch

    with torch.no_grad():
        return module(**data.batch(range(len(data))).inputs).logits


def ids(*rows: list[int]) -> Any:
    """Rows of token ids, padded on the right: [rows, longest], int64."""
    import torch

    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def mask(input_ids: Any) -> Any:
    return (input_ids != PAD).long()


def safetensors(folder: Path) -> dict[str, Any]:
    """The tensors of a model folder by name."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")
