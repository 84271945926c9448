"""A tiny random model of every family that PASTA knows, built from its configuration, and texts to feed it."""

from __future__ import annotations

from functools import cache
from typing import Any

import tiny as tiny_bert
import torch
import transformers

from bench.train.model import special_tokens
from methods.pasta.families import FAMILIES, family_of

TEXTS = [
    "a film of quiet , understated power",
    "bad",
    "the play is not as good as the film that it is made of , and the second half of it is very bad indeed",
    "good !",
]
OTHERS = ["it is a quiet film", "the road of a street", "not bad", "a very long and very badly told and played film"]
MAX_LENGTH = 24  # cuts the third text

# What a family's configuration calls the sizes; the weights are large, so that what is compared is not all zeros.
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.2,
}
_MORE: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16, "num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
    "electra": {"embedding_size": 16},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pooler_hidden_size": 32},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "position_buckets": 8,
        "pooler_hidden_size": 32,
        "conv_kernel_size": 3,
    },
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8, "attention_dropout": 0.1, "mlp_dropout": 0.1},
}
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
        made.model_input_names = ["input_ids", "attention_mask"]
    if family in ("distilbert", "modernbert"):
        made.model_input_names = ["input_ids", "attention_mask"]
    return made


def config(family: str, **changes: Any) -> Any:
    sizes = {} if family == "distilbert" else _SIZES
    return transformers.AutoConfig.for_model(
        family,
        **{
            **sizes,
            "initializer_range": 0.2,
            "vocab_size": len(tiny_bert.VOCAB),
            "max_position_embeddings": 64,
            "pad_token_id": tiny_bert.PAD,
            "bos_token_id": tiny_bert.CLS,
            "eos_token_id": tiny_bert.SEP,
            "cls_token_id": tiny_bert.CLS,
            "sep_token_id": tiny_bert.SEP,
            "num_labels": 3,
            **_MORE.get(family, {}),
            **changes,
        },
    )


def model(family: str, auto: Any = None, attention: str | None = None, **changes: Any) -> Any:
    """A fresh model, the same weights at each call, in evaluation mode."""
    torch.manual_seed(11)
    chosen = {} if attention is None else {"attn_implementation": attention}
    made = (auto or transformers.AutoModelForSequenceClassification).from_config(config(family, **changes), **chosen)
    for name, parameter in made.named_parameters():
        if parameter.dim() == 1:  # biases and norms start as constants, which would hide mistakes with them
            torch.nn.init.normal_(parameter, mean=float("norm" in name.lower() and name.endswith("weight")), std=0.1)
    return made.eval()


def inputs(family: str, pair: bool) -> dict[str, torch.Tensor]:
    """All texts in one batch: of mixed length, padded, one of them truncated."""
    frame = tokenizer(family)
    return dict(
        frame(
            TEXTS, OTHERS if pair else None, truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt"
        )
    )


def template(family: str, pair: bool) -> tuple[int, ...]:
    return special_tokens(tokenizer(family), pair)


def depth(made: Any) -> int:
    return family_of(made.config).depth(made.config)


def no_dropout(made: Any) -> Any:
    """The model with every dropout at 0, so that train mode computes what evaluation does."""
    for part in made.modules():
        for name, value in vars(part).items():
            if "dropout" in name and isinstance(value, float):
                setattr(part, name, 0.0)
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return made
