"""The encoder that methods are tried on: by default a tiny BERT with random weights, which needs no file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from bench.check import examples
from bench.grid import seeds
from bench.plugins.method import Method
from bench.plugins.task import Task, TaskContext
from bench.train.adaptation import Adapted, adapt
from bench.train.data import Encoded, encode
from bench.train.model import context, init_head, load_model, load_tokenizer, quiet_libraries
from bench.train.pooling import pool, reads_last_token

HIDDEN, LAYERS = 32, 3


def tiny_config(**changes: Any) -> PreTrainedConfig:
    """The tiny BERT's configuration. Its weights are large, so that what is compared is not all zeros."""
    shape = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 48}
    vocabulary = {"vocab_size": len(examples.VOCAB), "max_position_embeddings": 64}
    return BertConfig(**{**shape, **vocabulary, "initializer_range": 0.2, **changes})


def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """BERT's WordPiece over the tiny vocabulary."""
    return BertTokenizer(vocab={token: index for index, token in enumerate(examples.VOCAB)})


def random_model(make: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    """A model with random weights, the same at each call, its biases and norms included.

    These start as constants, which would hide mistakes with them.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(20)
        model = make()
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                is_scale = "norm" in name.lower() and name.endswith("weight")
                nn.init.normal_(parameter, mean=float(is_scale), std=0.1)
    return model


class Encoder:
    """A pretrained or random encoder with its tokenizer, and what is made of it for each of `examples.KINDS`, once.

    build: makes the encoder with a head for a task.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, build: Callable[[Task], PreTrainedModel]) -> None:
        self.tokenizer = tokenizer
        self._build = build

    @cache  # noqa: B019 - a process has one encoder
    def data(self, kind: str, count: int = 12) -> Encoded:
        """Made-up examples, tokenised."""
        return encode(examples.task(kind), examples.examples(kind, count), self.tokenizer)

    @cache  # noqa: B019
    def original(self, kind: str) -> Any:
        """The encoder with a head that no seed has drawn, in evaluation mode; not to be changed."""
        return self._build(examples.task(kind)).eval()

    @cache  # noqa: B019
    def base(self, kind: str, seed: int) -> tuple[Any, Tensor]:
        """The encoder with this seed's head and without a method, not to be changed; and its logits of `data`."""
        model = self.model(kind)
        init_head(model, seeds.streams(seed)[seeds.HEAD_INIT])
        if reads_last_token(model) and kind != "token-classification":
            pool(model, "model")
        return model, logits(model, self.data(kind))

    def model(self, kind: str) -> Any:
        """A fresh copy of the original."""
        return copy.deepcopy(self.original(kind))

    def config(self, kind: str) -> PreTrainedConfig:
        return self.original(kind).config

    def context(self, kind: str) -> TaskContext:
        return context(examples.task(kind), self.tokenizer)

    def adapted(self, method: Method, kind: str, seed: int = 0, model: Any = None) -> Adapted:
        """A fresh copy, or the model given, with a method on it, in evaluation mode."""
        result = adapt(model or self.model(kind), method, self.context(kind), seeds.streams(seed))
        result.module.eval()
        return result


@cache
def encoder_of(folder: Path | None) -> Encoder:
    """The pretrained encoder of a model folder; None: the tiny BERT."""
    quiet_libraries()
    if folder is not None:
        return Encoder(load_tokenizer(folder), lambda task: load_model(folder, task.kind, task.num_labels))
    torch.set_num_threads(1)  # tiny matrices gain nothing from threads

    def build(task: Task) -> PreTrainedModel:
        of_kind = BertForTokenClassification if task.kind == "token-classification" else BertForSequenceClassification
        return random_model(lambda: of_kind(tiny_config(num_labels=task.num_labels)))

    return Encoder(tiny_tokenizer(), build)


def logits(module: nn.Module, data: Encoded) -> Tensor:
    """Of all examples in one padded batch, without gradients and in the mode the module is in."""
    with torch.no_grad():
        return module(**data.batch(range(len(data))).inputs).logits
