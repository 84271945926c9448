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
    """A contender before its model is loaded: what it is, the method whose recipe it trains by, how it is made."""

    what: str
    method: str
    make: Callable[[Setting, int], Contender]  # the setting, a seed


CONTENDERS: dict[str, Entry] = {
    "lora": Entry("this loop, LoRA", "lora", lambda setting, seed: Ours(setting, "lora", seed)),
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
    "pasta": Entry("this loop, PASTA", "pasta", lambda setting, seed: Ours(setting, "pasta", seed)),
    "full": Entry("this loop, full fine-tuning", "full", lambda setting, seed: Ours(setting, "full", seed)),
    "pasta-reference": Entry("PASTA as its authors formulate it", "pasta", PastaReference),
}
