"""The encoder that methods are tried on: by default a tiny random BERT, made in this process from no file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.check import examples
from bench.grid import seeds
from bench.plugins.method import Method
from bench.plugins.task import Task, TaskContext
from bench.train.adaptation import Adapted, adapt
from bench.train.data import Encoded, encode
from bench.train.model import context, init_head, load_model, load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

HIDDEN, LAYERS = 32, 3


def tiny_config(**changes: Any) -> PreTrainedConfig:
    """The tiny BERT's configuration. Its weights are large, so that what is compared is not all zeros."""
    from transformers import BertConfig

    settings = {
        "vocab_size": len(examples.VOCAB),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
    }
    return BertConfig(**{**settings, **changes})


def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """BERT's WordPiece over the tiny vocabulary."""
    from transformers import BertTokenizer

    return BertTokenizer(vocab={token: index for index, token in enumerate(examples.VOCAB)})


def random_model(make: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    """A model with random weights, the same at each call, its biases and norms included.

    These start as constants, which would hide mistakes with them.
    """
    import torch

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(20)
        model = make()
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                is_scale = "norm" in name.lower() and name.endswith("weight")
                torch.nn.init.normal_(parameter, mean=float(is_scale), std=0.1)
    return model


class Encoder:
    """A pretrained or random encoder with its tokenizer, and what is made of it for each kind of task.

    Args:
        tokenizer: of the encoder.
        build: makes the encoder with a head for this task; called once a kind.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, build: Callable[[Task], PreTrainedModel]) -> None:
        self.tokenizer = tokenizer
        self._build = build
        self._models: dict[str, PreTrainedModel] = {}
        self._data: dict[tuple[str, int, int], Encoded] = {}
        self._bases: dict[tuple[str, int], tuple[Any, Tensor]] = {}

    @classmethod
    def random(
        cls, config: PreTrainedConfig | None = None, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> Encoder:
        """An encoder of this configuration with random weights; by default the tiny BERT."""
        config = config or tiny_config()

        def build(task: Task) -> PreTrainedModel:
            from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

            tokens = task.kind == "token-classification"
            auto = AutoModelForTokenClassification if tokens else AutoModelForSequenceClassification
            own = copy.deepcopy(config)
            own.num_labels = task.num_labels
            return random_model(lambda: auto.from_config(own))

        return cls(tokenizer or tiny_tokenizer(), build)

    @classmethod
    def of_folder(cls, folder: Path) -> Encoder:
        """The pretrained encoder of a model folder."""
        return cls(load_tokenizer(folder), lambda task: load_model(folder, task.kind, task.num_labels))

    def data(self, kind: str, count: int = 12, seed: int = 0) -> Encoded:
        """Made-up examples of one of `examples.KINDS`, tokenised."""
        key = kind, count, seed
        if key not in self._data:
            self._data[key] = encode(examples.task(kind), examples.examples(kind, count, seed), self.tokenizer)
        return self._data[key]

    def context(self, kind: str) -> TaskContext:
        return context(examples.task(kind), self.tokenizer)

    def model(self, kind: str) -> Any:
        """A fresh copy, in evaluation mode, its head not drawn by a seed."""
        return copy.deepcopy(self._model(kind))

    def config(self, kind: str) -> PreTrainedConfig:
        return self._model(kind).config

    def _model(self, kind: str) -> PreTrainedModel:
        if kind not in self._models:
            self._models[kind] = self._build(examples.task(kind)).eval()
        return self._models[kind]

    def adapted(self, method: Method, kind: str, seed: int = 0, model: Any = None) -> Adapted:
        """A fresh copy, or the model given, with a method on it, in evaluation mode."""
        result = adapt(model or self.model(kind), method, self.context(kind), seeds.streams(seed))
        result.module.eval()
        return result

    def base(self, kind: str, seed: int) -> tuple[Any, Tensor]:
        """The encoder with the head of this seed and without any method, not to be changed; its logits of `data`."""
        if (kind, seed) not in self._bases:
            model = self.model(kind)
            init_head(model, seeds.streams(seed)[seeds.HEAD_INIT])
            self._bases[kind, seed] = model, logits(model, self.data(kind))
        return self._bases[kind, seed]


def logits(module: nn.Module, data: Encoded) -> Tensor:
    """Of all examples in one padded batch, without gradients and in the mode the module is in."""
    import torch

    with torch.no_grad():
        return module(**data.batch(range(len(data))).inputs).logits
