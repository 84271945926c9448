"""The model families that PASTA knows, and in what they differ: where their layers are, and how often each is applied.

PASTA needs a bidirectional encoder whose tokenizer frames every text with special tokens. In all families here
the first of these is the classification token ([CLS], <s>) and the others are separators ([SEP], </s>):

    [CLS] A [SEP]  and  [CLS] A [SEP] B [SEP]      BERT, DistilBERT, ELECTRA, ALBERT, DeBERTa, ModernBERT
    <s> A </s>     and  <s> A </s></s> B </s>      RoBERTa, XLM-RoBERTa, CamemBERT, MPNet

A vector is added to what enters a layer as a whole. In families that normalise after each block (all but
ModernBERT) that is what self-attention reads; ModernBERT normalises first, so its attention reads the norm of
the sum, and the vector stays in the residual stream. DeBERTa's relative positions and the convolution beside
the first layer of its largest versions do not see the vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


class UnsupportedModel(ValueError):
    """A model that PASTA cannot be put on; the message says which it can."""


@dataclass(frozen=True)
class Family:
    """What differs between families.

    layers: the layers of a backbone in the order of their application; one that is applied twice stands
    there twice. depth: their number, from the configuration alone. dropout: the configuration's name
    for the dropout of hidden states.
    """

    layers: Callable[[Any], list[nn.Module]]
    depth: Callable[[Any], int] = attrgetter("num_hidden_layers")
    dropout: str = "hidden_dropout_prob"


def _at(path: str) -> Callable[[Any], list[nn.Module]]:
    return lambda backbone: list(attrgetter(path)(backbone))


def _albert_layers(backbone: Any) -> list[nn.Module]:
    """ALBERT's layers share their weights: a group serves several layers, and each application has its vectors."""
    config, groups = backbone.config, backbone.encoder.albert_layer_groups
    per_group = config.num_hidden_layers / config.num_hidden_groups
    return [layer for at in range(config.num_hidden_layers) for layer in groups[int(at / per_group)].albert_layers]


_BERT_LIKE = Family(_at("encoder.layer"))

FAMILIES: dict[str, Family] = {
    "bert": _BERT_LIKE,
    "roberta": _BERT_LIKE,
    "xlm-roberta": _BERT_LIKE,
    "camembert": _BERT_LIKE,
    "electra": _BERT_LIKE,
    "mpnet": _BERT_LIKE,
    "deberta": _BERT_LIKE,
    "deberta-v2": _BERT_LIKE,  # DeBERTa v3 is of this type as well
    "distilbert": Family(_at("transformer.layer"), dropout="dropout"),
    "albert": Family(_albert_layers, depth=lambda config: int(config.num_hidden_layers * config.inner_group_num)),
    "modernbert": Family(_at("layers"), dropout="mlp_dropout"),
}


def family_of(config: Any) -> Family:
    """The family of a model by its configuration.

    Raises:
        UnsupportedModel: for a decoder and for an unknown model type, with the known ones.
    """
    name, is_decoder = config.model_type, getattr(config, "is_decoder", False)
    if name not in FAMILIES or is_decoder:
        raise UnsupportedModel(
            f"PASTA does not support {name!r}{' set up as a decoder (is_decoder)' if is_decoder else ''}: it needs an "
            f"encoder whose texts are framed by special tokens. It supports: {', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[name]
