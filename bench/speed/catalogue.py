"""The contenders by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    epochs: of a turn; where there are several, later ones are compared with the first, and no rate is taken.
    beside_products: whether its rate is compared with that of matrix products just before and after its turn.
    """

    what: str
    method: str
    make: Callable[[Setting, int], Contender]  # the setting, a seed
    ours: bool = False
    dropout: float | None = None
    epochs: int = 1
    beside_products: bool = False


def _ours(what: str, method: str, dropout: float | None = None, **more: Any) -> Entry:
    def make(setting: Setting, seed: int) -> Contender:
        return Ours(setting, method, seed, dropout)

    return Entry(f"this loop, {what}", method, make, ours=True, dropout=dropout, **more)


HEAD_EPOCHS = 3
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
    "pasta": _ours("PASTA", "pasta", beside_products=True),
    "full": _ours("full fine-tuning", "full"),
    "pasta-reference": Entry("PASTA as its authors formulate it", "pasta", PastaReference),
    # Its recipe's dropout, without which no features can be kept.
    "head": _ours("the head alone", "head", dropout=0.0, epochs=HEAD_EPOCHS),
}
