"""Tiny tokenizers of the families' kinds, as folders that transformers loads with the families' own classes.

Their vocabularies are by hand, so that the pieces of a text can be told by hand. A byte-level one merges "york" after a
space alone: yor k, Ġyork.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

MERGES = [
    "t h", "th e", "n e", "ne w", "y o", "yo r", "f i", "l m", "Ġ new", "Ġ yor", "Ġyor k", "Ġ fi", "Ġfi lm", "Ġ the",
]  # fmt: skip
PIECES = ["▁the", "▁new", "▁york", "▁film", "er", "▁", "!", *"abcdefghijklmnopqrstuvwxyz"]
WORDPIECES = ["the", "new", "york", "film", "##er", "!", *"abcdefghijklmnopqrstuvwxyz[]1/", "##1"]
BERT_NAMES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
ROBERTA_NAMES = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
# names of special tokens in the order of their ids, the class that tokenizer_config.json names
FAMILIES: dict[str, tuple[dict[str, str], str]] = {
    "bert": (BERT_NAMES, "BertTokenizer"),
    "roberta": (ROBERTA_NAMES, "RobertaTokenizer"),
    "modernbert": (BERT_NAMES, "PreTrainedTokenizerFast"),
    "deberta": (BERT_NAMES, "DebertaTokenizer"),
    "deberta-v3": (BERT_NAMES, "DebertaV2Tokenizer"),
    "xlm-roberta": (ROBERTA_NAMES, "XLMRobertaTokenizer"),
    "gpt2": ({"unk": "<|endoftext|>"}, "GPT2Tokenizer"),
}


def _byte_level(special: list[str]) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*special, *alphabet, *("".join(merge.split()) for merge in MERGES)]
    vocabulary = {token: at for at, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocabulary, [tuple(merge.split()) for merge in MERGES]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def _unigram(special: list[str], unk: str) -> Tokenizer:
    vocabulary = [(token, 0.0) for token in special] + [(piece, -1.0 - at / 10) for at, piece in enumerate(PIECES)]
    made = Tokenizer(models.Unigram(vocabulary, unk_id=special.index(unk)))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def _wordpiece(special: list[str], unk: str) -> Tokenizer:
    made = Tokenizer(models.WordPiece({token: at for at, token in enumerate([*special, *WORDPIECES])}, unk_token=unk))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def tokenizer(family: str) -> PreTrainedTokenizerFast:
    names, _ = FAMILIES[family]
    special = list(names.values())
    match family:
        case "bert":
            made = _wordpiece(special, names["unk"])
        case "deberta-v3" | "xlm-roberta":
            made = _unigram(special, names["unk"])
        case _:
            made = _byte_level(special)
    if family in ("roberta", "xlm-roberta"):
        made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    elif family != "gpt2":
        frame = [(names[name], special.index(names[name])) for name in ("cls", "sep")]
        made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", frame)
    tokens: dict[str, Any] = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=made, **tokens)


def save(family: str, folder: Path, **settings: Any) -> Path:
    """Write it as a pretrained model's folder has it; settings: of tokenizer_config.json."""
    tokenizer(family).save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tokenizer_class": FAMILIES[family][1], **settings}))
    return folder
