"""A tiny random model of every family that methods are tested on, and texts to feed it: no hub, no weights."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import tiny as tiny_bert
import torch
import transformers

from bench.grid import seeds
from bench.plugins.method import Method
from bench.plugins.task import Kind, TaskContext
from bench.train.adaptation import Adapted, adapt
from bench.train.model import dropouts, special_tokens
from methods.pasta.families import FAMILIES

HIDDEN, LAYERS, HEADS, INNER, EMBEDDED = 32, 3, 4, 48, 16
TEXTS = [
    "a film of quiet , understated power",
    "bad",
    "the play is not as good as the film that it is made of , and the second half of it is very bad indeed",
    "good !",
]
OTHERS = ["it is a quiet film", "the road of a street", "not bad", "a very long and very badly told and played film"]
MAX_LENGTH = 24  # cuts the third text

_SIZES: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
}
_DISENTANGLED = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pooler_hidden_size": HIDDEN}
_MORE: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": EMBEDDED, "num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
    "electra": {"embedding_size": EMBEDDED},  # narrower than the layers, as in ELECTRA-small
    "deberta": _DISENTANGLED,
    "deberta-v2": {**_DISENTANGLED, "position_buckets": 8, "conv_kernel_size": 3, "share_att_key": True,
                   "norm_rel_ebd": "layer_norm", "position_biased_input": False, "type_vocab_size": 0},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8, "attention_dropout": 0.1, "mlp_dropout": 0.1},
}  # fmt: skip
BERT_LIKE = ("bert", "roberta", "xlm-roberta", "camembert", "electra")
ROBERTA_LIKE = ("roberta", "xlm-roberta", "camembert", "mpnet")
NAMES = sorted(FAMILIES)


@cache
def tokenizer(family: str) -> Any:
    """A WordPiece tokenizer that frames texts as the family does."""
    from tokenizers import processors
    from transformers import BertTokenizer

    vocab = {token: index for index, token in enumerate(tiny_bert.VOCAB)}
    made = BertTokenizer(vocab=vocab)
    if family in ROBERTA_LIKE:  # <s> A </s></s> B </s>; the names of the two tokens do not matter
        frame = processors.RobertaProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
        made.backend_tokenizer.post_processor = frame
    if family in (*ROBERTA_LIKE, "distilbert", "modernbert"):
        made.model_input_names = ["input_ids", "attention_mask"]
    return made


def config(family: str, **changes: Any) -> Any:
    """Weights are large, so that what is compared is not all zeros."""
    sizes = {"dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER}
    settings = {"initializer_range": 0.2, "vocab_size": len(tiny_bert.VOCAB), "max_position_embeddings": 64}
    of_tokens = {"pad_token_id": tiny_bert.PAD, **dict.fromkeys(("bos_token_id", "cls_token_id"), tiny_bert.CLS),
                 **dict.fromkeys(("eos_token_id", "sep_token_id"), tiny_bert.SEP)}  # fmt: skip
    fields = {**(sizes if family == "distilbert" else _SIZES), **settings, **of_tokens, "num_labels": 3}
    return transformers.AutoConfig.for_model(family, **{**fields, **_MORE.get(family, {}), **changes})


def auto_class(kind: Kind) -> Any:
    tokens = kind == "token-classification"
    return transformers.AutoModelForTokenClassification if tokens else transformers.AutoModelForSequenceClassification


@cache
def _model(family: str, kind: Kind, attention: str | None, changes: tuple[tuple[str, Any], ...]) -> Any:
    torch.manual_seed(11)
    chosen = {} if attention is None else {"attn_implementation": attention}
    made = auto_class(kind).from_config(config(family, **dict(changes)), **chosen)
    for name, parameter in made.named_parameters():
        if parameter.dim() == 1:  # biases and norms start as constants, which would hide mistakes with them
            torch.nn.init.normal_(parameter, mean=float("norm" in name.lower() and name.endswith("weight")), std=0.1)
    return made.eval()


def model(family: str, kind: Kind = "classification", attention: str | None = None, **changes: Any) -> Any:
    """A fresh copy, the same weights at each call, in evaluation mode; torch's generator is set, too."""
    made = copy.deepcopy(_model(family, kind, attention, tuple(changes.items())))
    torch.manual_seed(11)
    return made


def inputs(family: str, pair: bool = True) -> dict[str, torch.Tensor]:
    """All texts in one batch: of mixed length, padded, one of them truncated."""
    options = {"truncation": True, "max_length": MAX_LENGTH, "padding": True, "return_tensors": "pt"}
    return dict(tokenizer(family)(TEXTS, OTHERS if pair else None, **options))


def template(family: str, pair: bool) -> tuple[int, ...]:
    return special_tokens(tokenizer(family), pair)


def context(family: str, kind: Kind = "classification") -> TaskContext:
    return TaskContext("none", kind, True, 3, template(family, pair=True), tiny_bert.PAD)


def adapted(method: Method, family: str, kind: Kind = "classification", **options: Any) -> Adapted:
    """A fresh copy with a method on it, in evaluation mode."""
    result = adapt(model(family, kind, **options), method, context(family, kind), seeds.streams(0))
    result.module.eval()
    return result


def no_dropout(made: Any) -> Any:
    """The model with every dropout at 0, so that train mode computes what evaluation does."""
    for name in dropouts(made.config):
        setattr(made.config, name, 0.0)
    for part in made.modules():
        for name, value in vars(part).items():
            if "dropout" in name and isinstance(value, float):
                setattr(part, name, 0.0)
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return made
