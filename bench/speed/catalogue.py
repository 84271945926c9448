"""The contenders by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.speed.contender import Contender
from bench.speed.hf_trainer import HfTrainer
from bench.speed.ours import Ours
from bench.speed.pasta_reference import PastaReference
from bench.speed.peft_loop import PeftLoop
from bench.speed.setting import Setting


@dataclass(frozen=True)
class Entry:
    """A contender before its model is loaded: what it is, the method whose recipe it trains by, how it is made.

    ours: whether it is this project's loop, and so runs in a process set up as a cell's. dropout: None: the model's.
    """

    what: str
    method: str
    make: Callable[[Setting, int], Contender]  # the setting, a seed
    ours: bool = False
    dropout: float | None = None


def _ours(what: str, method: str, dropout: float | None = None) -> Entry:
    return Entry(
        f"this loop, {what}", method, lambda setting, seed: Ours(setting, method, seed, dropout), True, dropout
    )


CONTENDERS: dict[str, Entry] = {
    "lora": _ours("LoRA", "lora"),
    "trainer": Entry(
        "transformers' Trainer with PEFT's LoRA", "lora", lambda setting, seed: HfTrainer(setting, seed, "random")
    ),
    "trainer-grouped": Entry(
        "the same, batches grouped by length",
        "lora",
        lambda setting, seed: HfTrainer(setting, seed, "group_by_length"),
    ),
    "trainer-grouped-large": Entry(
        "the same, grouped as with 6,400 examples",
        "lora",
        lambda setting, seed: HfTrainer(setting, seed, "group_by_length", as_if_large=True),
    ),
    "peft-loop": Entry("a loop as PEFT's own comparison has it", "lora", PeftLoop),
    "pasta": _ours("PASTA", "pasta"),
    "full": _ours("full fine-tuning", "full"),
    "pasta-reference": Entry("PASTA as its authors formulate it", "pasta", PastaReference),
    "head": _ours("the head alone", "head", dropout=0.0),  # its recipe's, without which no features can be kept
}
