"""Tiny encoders of several families with random weights, made from configurations: no hub, no tokenizer."""

from functools import cache
from typing import Any

from bench.grid import seeds
from bench.plugins.method import Method
from bench.plugins.task import Kind, TaskContext
from bench.train.adaptation import Adapted, adapt

HIDDEN, LAYERS, HEADS, INNER, TOKENS = 16, 2, 2, 24, 40
CLS, SEP = 2, 3
_SHAPE: dict[str, Any] = {
    "vocab_size": TOKENS,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,  # so that what is compared is not all zeros
    "num_labels": 3,
}
_MORE: dict[str, dict[str, Any]] = {
    "electra": {"embedding_size": 8},  # narrower than the layers, as in ELECTRA-small
    "albert": {"embedding_size": 8},
    "distilbert": {"dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER},
    # as microsoft/deberta-v3-base has them
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "modernbert": {
        "cls_token_id": CLS,
        "sep_token_id": SEP,
        "bos_token_id": CLS,
        "eos_token_id": SEP,
        "pad_token_id": 0,
    },
}
BERT_LIKE = ("bert", "roberta", "xlm-roberta", "camembert", "electra")
FAMILIES = (*BERT_LIKE, "distilbert", "deberta-v2", "modernbert", "mpnet", "albert")


@cache
def _model(family: str, kind: Kind, attention: str) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

    auto = AutoModelForTokenClassification if kind == "token-classification" else AutoModelForSequenceClassification
    config = AutoConfig.for_model(family, **{**_SHAPE, **_MORE.get(family, {})})
    torch.manual_seed(7)
    model = auto.from_config(config, attn_implementation=attention)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:  # biases and norms start as constants, which would hide mistakes with them
            torch.nn.init.normal_(parameter, mean=float("orm" in name and name.endswith("weight")), std=0.1)
    return model


def model(family: str, kind: Kind = "classification", attention: str = "eager") -> Any:
    """A fresh copy in evaluation mode."""
    import copy

    return copy.deepcopy(_model(family, kind, attention)).eval()


def context(family: str, kind: Kind = "classification") -> TaskContext:
    return TaskContext("none", kind, False, 3, (CLS, SEP), _model(family, kind, "eager").config.pad_token_id)


def adapted(method: Method, family: str, kind: Kind = "classification", **options: Any) -> Adapted:
    """A fresh copy with a method on it, in evaluation mode."""
    result = adapt(model(family, kind, **options), method, context(family, kind), seeds.streams(0))
    result.module.eval()
    return result


def without_dropout(module: Any) -> None:
    """Turn every dropout of a model off, in its parts and in its configuration."""
    from torch import nn

    from bench.train.model import dropouts

    for name in dropouts(module.config):
        setattr(module.config, name, 0.0)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0


def batch(family: str) -> dict[str, Any]:
    """Three texts of 9, 5 and 2 tokens, padded; with segments for BERT, which knows two."""
    import torch

    draw = torch.Generator().manual_seed(3)
    input_ids = torch.randint(5, TOKENS, (3, 9), generator=draw)
    input_ids[:, 0] = CLS
    mask = torch.ones_like(input_ids)
    for row, length in enumerate((9, 5, 2)):
        input_ids[row, length - 1] = SEP
        input_ids[row, length:] = context(family).pad_id
        mask[row, length:] = 0
    inputs = {"input_ids": input_ids, "attention_mask": mask}
    if family == "bert":
        inputs["token_type_ids"] = (torch.arange(9) > 3).long().expand(3, 9) * mask
    return inputs
