"""A loop in the style of PEFT's own method comparison: no Trainer, batches bucketed by length.

After `method_comparison/MetaMathQA/run.py` and `utils.py` of huggingface/peft (Apache 2.0), which train decoders on
answers to mathematical questions. Taken over: the iterator (buckets of 20 batches, each sorted from long to short,
in the order of the data, which was shuffled beforehand), `tokenizer.pad` on each batch, AdamW over all
parameters, a cosine schedule with a tenth of warm-up, `outputs.loss`, and reading the loss back in each step. Changed
for sequence classification: labels are class indices, padding is the encoder's. Left out: evaluation, emptying an
accelerator's cache, the progress bar, and a second pass over the remainder of the data that the original makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.plugins.recipe import Recipe
from bench.speed.contender import Call
from bench.speed.hf_trainer import peft_lora
from bench.speed.setting import Setting, columns
from bench.train.data import Encoded

if TYPE_CHECKING:
    from torch import nn

BUCKET_FACTOR = 20  # batches a bucket
WARMUP_RATIO = 0.1


class PeftLoop:
    """PEFT's plain loop on PEFT's LoRA."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self._tokenizer: Any = setting.tokenizer
        self.module: nn.Module = peft_lora(setting, seed)

    def prepare(self, data: Encoded, recipe: Recipe, seed: int) -> Call:
        import torch
        from datasets import Dataset
        from transformers import get_cosine_schedule_with_warmup

        from bench.train.loop import total_steps

        dataset = Dataset.from_dict(columns(data))
        total, model = total_steps(len(data), recipe), self.module

        def call() -> Sequence[int]:
            optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
            schedule = get_cosine_schedule_with_warmup(optimizer, int(WARMUP_RATIO * total), total)
            losses, tokens = [], []
            model.train()
            for _, batch in zip(range(total), _endless(dataset, recipe.batch_size), strict=False):
                tokens.append(sum(map(len, batch["input_ids"])))
                labels = torch.tensor(batch.pop("labels"))
                inputs = self._tokenizer.pad(batch, return_tensors="pt")
                optimizer.zero_grad()
                loss = model(**inputs, labels=labels).loss
                loss.backward()
                if recipe.max_grad_norm is not None:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
            return tokens

        return call


def _endless(dataset: Any, batch_size: int) -> Iterator[dict[str, list[Any]]]:
    while True:
        yield from bucketed(dataset, batch_size)


def bucketed(dataset: Any, batch_size: int, factor: int = BUCKET_FACTOR) -> Iterator[dict[str, list[Any]]]:
    """Batches of a data set, from the longest examples of each bucket of `factor` batches to its shortest.

    dataset: sliced, it gives a dictionary of columns.
    """
    for start in range(0, len(dataset), batch_size * factor):
        bucket = dataset[start : start + batch_size * factor]
        lengths = [len(ids) for ids in bucket["input_ids"]]
        order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
        for at in range(0, len(order), batch_size):
            chosen = order[at : at + batch_size]
            yield {key: [values[i] for i in chosen] for key, values in bucket.items()}
