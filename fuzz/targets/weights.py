"""Saved adapters, and folders of models."""

from __future__ import annotations

import json

from fuzz.targets.target import Target, file_of, known_methods


def _adapters(data: bytes) -> object:
    """A folder of an adapter: the length of its JSON, the JSON, and the weights."""
    from torch import nn

    from bench.errors import UsageError
    from bench.train.adaptation import saved_method

    cut = int.from_bytes(data[:2], "big")
    with file_of("adapter.json", data[2 : 2 + cut]) as path:
        (path.parent / "adapter.safetensors").write_bytes(data[2 + cut :])
        method = saved_method(path.parent, known_methods())
        from safetensors import SafetensorError

        try:
            from bench.plugins.method import Method

            Method.load(method, nn.Linear(3, 2), path.parent)
        except (
            OSError,
            ValueError,
            SafetensorError,
        ) as error:  # as bench.train.adaptation.restore does
            raise UsageError(str(error)) from None
    return method


def _adapters_seeds() -> list[bytes]:
    import torch
    from safetensors.torch import save

    weights = save({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, metadata={"format": "pt"})
    abouts = (
        {"method": "lora", "params": {"r": 4, "targets": ["query"]}},
        {"method": "peft:vera", "params": {"r": 8}},
        {"method": "head", "params": {}},
        {"method": "pasta", "params": {"layers": [0, 1]}, "format": 1},
    )
    texts = [json.dumps(about).encode() for about in abouts]
    return [len(text).to_bytes(2, "big") + text + weights for text in texts]


def _configs(data: bytes) -> object:
    """A model folder whose configuration and tokenizer are not to be trusted."""
    from bench.train.model import load_config, load_tokenizer

    cut = int.from_bytes(data[:2], "big")
    with file_of("config.json", data[2 : 2 + cut]) as path:
        (path.parent / "tokenizer.json").write_bytes(data[2 + cut :])
        load_config(path.parent)
        return load_tokenizer(path.parent)


def _configs_seeds() -> list[bytes]:
    config = json.dumps({
        "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 6,
        "intermediate_size": 8, "hidden_dropout_prob": 0.1, "auto_map": {"AutoConfig": "evil.Config"},
    }).encode()  # fmt: skip
    words = {word: at for at, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"))}
    tokenizer = json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": words},
    }).encode()  # fmt: skip
    return [len(config).to_bytes(2, "big") + config + tokenizer]


TARGETS = (
    Target("configs", _configs, _configs_seeds),
    Target("adapters", _adapters, _adapters_seeds),
)
