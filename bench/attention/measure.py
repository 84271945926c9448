"""How much attention each head gives to the special tokens.

Many heads of a pretrained encoder are *vertical*: whatever token they start from, they look at [CLS] or [SEP], so that
a picture of their attention shows vertical stripes (Kovaleva et al., Revealing the Dark Secrets of BERT, EMNLP 2019).
PASTA changes the special tokens alone and relies on such heads to carry the change to every other token (Yang et al.,
EACL 2023, section 1). The measure is the average attention that a head puts on a type of token (Clark et al., What
Does BERT Look At?, BlackboxNLP 2019), here over ordinary tokens only: what special tokens look at is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UsageError
from bench.train.batches import sorted_batches

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

VERTICAL = 0.5  # this project's line: a head that gives more than half of its attention to special tokens
BATCH = 32
BATCH_WEIGHTS = 2**25  # attention weights that a batch may bring about in all layers: 128 MiB of float32

Read = Callable[[dict[str, "Tensor"]], "tuple[Tensor, ...]"]


@dataclass(frozen=True)
class Shares:
    """Where the attention of ordinary tokens goes, in shares of 1.

    An ordinary token is neither padding nor special. A share is the mean over the ordinary tokens of an example, and
    then over examples: a long text counts as much as a short one.

    slots: to the p-th special token of an input, [slots, layers, heads]. ordinary: to ordinary tokens,
    [layers, heads]; with the slots it makes 1. uniform: what a slot would get if every token looked at all tokens
    of its text alike, [slots]. examples: how many were measured; those without an ordinary token cannot be.
    """

    slots: np.ndarray
    ordinary: np.ndarray
    uniform: np.ndarray
    examples: int

    @property
    def special(self) -> np.ndarray:
        """To all special tokens together, [layers, heads]."""
        return self.slots.sum(axis=0)

    @property
    def uniform_special(self) -> float:
        """What all special tokens together would get from equal attention: their number over the text's length."""
        return float(self.uniform.sum())

    @property
    def vertical(self) -> int:
        """The number of heads that give more than VERTICAL of their attention to special tokens."""
        return int((self.special > VERTICAL).sum())


def measure(
    module: nn.Module,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: BatchEncoding,
    batch_size: int = BATCH,
) -> Shares:
    """Measure every head on these texts. What is kept is sums per head, never an attention map.

    Args:
        module: what is called: the model, or what a method made of it.
        encoder: the backbone inside it, whose heads are measured.
        texts: from `bench.train.data.tokenise`.
        batch_size: the most texts at a time; fewer where they are long.

    Raises:
        UsageError: if the attention cannot be had, or is no encoder's, or is over more than the text.
    """
    import torch

    masks = [np.asarray(mask, dtype=bool) for mask in texts["special_tokens_mask"]]
    usable = [i for i, mask in enumerate(masks) if not mask.all()]
    if not usable:
        raise UsageError("There is no text with a token other than the special ones: nothing can be measured.")
    slots = max(int(masks[i].sum()) for i in usable)
    if not slots:
        raise UsageError("The model's tokenizer puts no special tokens around a text: there is nothing to measure.")
    lengths = np.array([len(masks[i]) for i in usable])
    total: Any = 0  # [layers, slots + 1, heads]; the last is ordinary tokens
    uniform = np.zeros(slots)
    with reading(module, encoder) as read:
        for indices in sorted_batches(lengths, _batch_size(encoder, int(lengths.max()), batch_size)):
            inputs, special = padded(tokenizer, texts, [usable[i] for i in indices])
            present = inputs["attention_mask"].bool()
            ordinary = present & ~special
            # A special token's slot is its rank among the special tokens of its text.
            rank = special.cumsum(dim=1).unsqueeze(1) == torch.arange(1, slots + 1)[:, None]
            to = torch.cat([rank & special.unsqueeze(1), ordinary.unsqueeze(1)], dim=1).double()
            start = ordinary.double() / ordinary.sum(dim=1, keepdim=True)  # rows of a mean, [batch, length]
            total = total + torch.stack(
                [torch.einsum("bq,bhqk,bsk->sh", start, layer.double(), to) for layer in read(inputs)]
            )
            uniform += (to.sum(dim=2) / present.sum(dim=1, keepdim=True)).sum(dim=0).numpy()[:slots]
    mean = total.numpy().swapaxes(0, 1) / len(usable)
    return Shares(mean[:slots], mean[slots], uniform / len(usable), len(usable))


def attention_maps(
    module: nn.Module, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: BatchEncoding
) -> np.ndarray:
    """The attention of every head on one text: [layers, heads, length, length]; a row is the token that looks.

    Raises:
        UsageError: as `measure`.
    """
    import torch

    with reading(module, encoder) as read:
        return torch.cat(read(padded(tokenizer, text, [0])[0])).numpy()


def slot_names(tokens: Sequence[str]) -> list[str]:
    """Names for the special tokens of an input in order; those that occur again are numbered.

    >>> slot_names(["[CLS]", "[SEP]", "[SEP]"])
    ['[CLS]', '[SEP] 1', '[SEP] 2']
    """
    return [
        f"{token} {tokens[: at + 1].count(token)}" if tokens.count(token) > 1 else token
        for at, token in enumerate(tokens)
    ]


def padded(
    tokenizer: PreTrainedTokenizerBase, texts: BatchEncoding, indices: Sequence[int]
) -> tuple[dict[str, Tensor], Tensor]:
    """Some texts as the model takes them, padded on the right, and where their special tokens stand.

    Returns:
        Inputs, each [batch, length], int64; and [batch, length], bool, False on padding.
    """
    keys = [*(key for key in tokenizer.model_input_names if key in texts), "special_tokens_mask"]
    rows = {key: [texts[key][i] for i in indices] for key in keys}
    inputs = dict(tokenizer.pad(rows, padding_side="right", return_attention_mask=True, return_tensors="pt"))
    return inputs, inputs.pop("special_tokens_mask").bool() & inputs["attention_mask"].bool()


@contextmanager
def reading(module: nn.Module, encoder: PreTrainedModel) -> Iterator[Read]:
    """A function that runs the module on a padded batch and returns the attention of each layer of its backbone.

    Each is [batch, heads, length, length] in float32, after the softmax: rows sum to 1. It is read off the backbone,
    so a module need not know of it; the backbone is set to form attention matrices for as long. Puts the module
    into evaluation mode.
    """
    import torch

    config = encoder.config
    silent = UsageError(f"A model of the family {config.model_type!r} does not tell the attention of an encoder.")
    if not getattr(config, "num_attention_heads", None):
        raise silent
    outputs: list[Any] = []

    def read(inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        outputs.clear()
        module(**inputs)
        layers = getattr(outputs[-1], "attentions", None) if outputs else None
        if not layers or not all(isinstance(layer, torch.Tensor) for layer in layers):
            raise silent
        length = inputs["input_ids"].shape[1]
        if any(layer.shape[2:] != (length, length) for layer in layers):
            found = " x ".join(map(str, layers[0].shape[2:]))
            raise UsageError(
                f"The attention is {found} on a text of {length} tokens: the method adds positions of its own, and "
                "its attention cannot be compared with the model's. Measure a method that leaves the sequence as it is."
            )
        if length > 1 and not layers[0].triu(1).any():
            raise UsageError(
                "The model looks at earlier tokens only, as a decoder does; this measures encoders, whose tokens see "
                "the whole text."
            )
        return tuple(layer.float() for layer in layers)

    usual = config._attn_implementation
    encoder.set_attn_implementation("eager")  # the faster implementations never form the matrix
    hooks = [
        # Here and not in the configuration: a wrapper may pass an `output_attentions` of its own, which goes first.
        encoder.register_forward_pre_hook(
            lambda _module, inputs, named: (inputs, {**named, "output_attentions": True}), with_kwargs=True
        ),
        encoder.register_forward_hook(lambda _module, _inputs, output: outputs.append(output)),
    ]
    module.eval()
    try:
        with torch.no_grad():
            yield read
    finally:
        for hook in hooks:
            hook.remove()
        encoder.set_attn_implementation(usual)


def _batch_size(encoder: PreTrainedModel, length: int, most: int) -> int:
    """How many texts of this length go together without their attention taking more than BATCH_WEIGHTS."""
    heads = encoder.config.num_hidden_layers * encoder.config.num_attention_heads
    return max(1, min(most, BATCH_WEIGHTS // (heads * length**2)))
