"""Tiny random decoders as folders on disk, saved as causal language models, with tokenizers like their families'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny as tiny_bert

HIDDEN, LAYERS = 32, 3
FAMILIES = ("gpt2", "llama", "qwen3")
_SIZES = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 48,
          "max_position_embeddings": 192, "num_key_value_heads": 2}  # fmt: skip
_OF_FAMILY: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": 4, "n_positions": 192},
    "llama": _SIZES,
    "qwen3": {**_SIZES, "head_dim": 16, "tie_word_embeddings": True},  # wider than hidden_size / heads, as Qwen3-0.6B's
    # Its head has other layers and names than those of the others.
    "modernbert-decoder": {**_SIZES, "cls_token_id": tiny_bert.CLS, "sep_token_id": tiny_bert.SEP, "pad_token_id": 0},
}


def config(family: str, **changes: Any) -> Any:
    """Weights are large, so that what is compared is not all zeros. No padding token, as GPT-2 and Llama have none."""
    from transformers import AutoConfig

    shared = {"vocab_size": len(tiny_bert.VOCAB), "bos_token_id": tiny_bert.CLS, "eos_token_id": tiny_bert.SEP}
    return AutoConfig.for_model(family, **{**shared, "initializer_range": 0.2, **_OF_FAMILY[family], **changes})


def tokenizer(family: str, ends: bool = False) -> Any:
    """Whole words, of which Llama's puts a token before the text, and the others nothing. ends: a token at its end."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate(tiny_bert.VOCAB)}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    begin, end = "[CLS] " if family == "llama" else "", " [SEP]" if ends else ""
    if begin or end:
        raw.post_processor = processors.TemplateProcessing(
            single=f"{begin}$A{end}",
            pair=f"{begin}$A {begin}$B{end}",
            special_tokens=[("[CLS]", tiny_bert.CLS), ("[SEP]", tiny_bert.SEP)],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="[UNK]", bos_token="[CLS]", eos_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def save(folder: Path, family: str, ends: bool = False, **changes: Any) -> Path:
    """Write a causal language model and its tokenizer."""
    from transformers import AutoModelForCausalLM

    from bench.check import encoder

    encoder.random_model(lambda: AutoModelForCausalLM.from_config(config(family, **changes))).save_pretrained(folder)
    tokenizer(family, ends).save_pretrained(folder)
    return folder
