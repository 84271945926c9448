"""transformers' Trainer on PEFT's LoRA, used as their documentation has it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from bench.grid import seeds
from bench.plugins.recipe import Recipe
from bench.speed.contender import Call
from bench.speed.setting import Setting, columns
from bench.train.data import Encoded
from bench.train.model import init_head

if TYPE_CHECKING:
    from torch import Tensor, nn

Sampling = Literal["random", "group_by_length"]
# The Trainer sorts within groups of a quarter of the data set's batches, and of at most so many.
MOST_BATCHES_SORTED = 50


def stock_model(setting: Setting, seed: int) -> Any:
    """The encoder with a head as `from_pretrained` gives it, in float32, the head drawn as this project draws it.

    Not by `bench.train.model.load_model`: what this project does to a model to make it faster is not theirs.
    """
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        str(setting.files.model),
        num_labels=setting.task.num_labels,
        dtype="float32",
        trust_remote_code=False,
        local_files_only=True,
        use_safetensors=True,
    )
    init_head(model, seeds.streams(seed)[seeds.HEAD_INIT])
    return model


def peft_lora(setting: Setting, seed: int) -> Any:
    """PEFT's LoRA by `get_peft_model`, with this project's rank, scale, dropout and targets; the head trains."""
    import torch
    from peft import LoraConfig, TaskType, get_peft_model

    lora: Any = setting.method("lora")
    params = lora.params
    model = stock_model(setting, seed)
    torch.manual_seed(seeds.streams(seed)[seeds.METHOD_INIT])
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=params.r,
        lora_alpha=params.alpha,
        lora_dropout=params.dropout,
        target_modules=list(params.targets) if params.targets else None,
    )
    return get_peft_model(model, config)


class HfTrainer:
    """The Trainer with DataCollatorWithPadding (to the longest of a batch) and its own defaults otherwise.

    Its optimiser is its default, fused AdamW (`adamw_torch_fused`) with torch 2.8 and later. It logs and saves
    nothing and shows no progress.

    Args:
        sampling: `train_sampling_strategy` (transformers 5), by default random.
        as_if_large: group by length as the Trainer does with 6,400 examples or more. With fewer it sorts smaller
            groups and so pads more: a small sample alone would say too much against it.
    """

    def __init__(self, setting: Setting, seed: int, sampling: Sampling, as_if_large: bool = False) -> None:
        self._setting, self._sampling, self._as_if_large = setting, sampling, as_if_large
        self.module: nn.Module = peft_lora(setting, seed)

    def prepare(self, data: Encoded, recipe: Recipe, seed: int) -> Call:
        from datasets import Dataset
        from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

        from bench.train.loop import total_steps

        total = total_steps(len(data), recipe)
        folder = tempfile.TemporaryDirectory()  # must be named, and nothing is written to it
        arguments = TrainingArguments(
            output_dir=folder.name,
            per_device_train_batch_size=recipe.batch_size,
            max_steps=total,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            warmup_steps=round(recipe.warmup_ratio * total),
            max_grad_norm=recipe.max_grad_norm or 0.0,  # 0: none is clipped
            train_sampling_strategy=self._sampling,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=seeds.streams(seed)[seeds.DATA_ORDER] % 2**32,  # numpy takes no more
        )
        tokenizer = self._setting.tokenizer
        trainer = Trainer(
            model=self.module,
            args=arguments,
            train_dataset=Dataset.from_dict(columns(data)),
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
        )
        if self._as_if_large:
            lengths = data.lengths.tolist()
            trainer._get_train_sampler = lambda dataset=None: _grouped(lengths, recipe.batch_size)
        trainer.remove_callback(PrinterCallback)  # where there is no progress bar it prints to standard output

        def call() -> Sequence[int]:
            with folder, _Tokens(self.module) as seen, warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*pin_memory.*")  # the default, and nothing to pin for
                trainer.train()
            return seen.tokens()

        return call


def _grouped(lengths: list[int], batch_size: int) -> list[int]:
    """The order of one epoch by the Trainer's own function, in groups as large as it makes them."""
    from transformers.trainer_pt_utils import get_length_grouped_indices

    order: list[int] = get_length_grouped_indices(lengths, batch_size, mega_batch_mult=MOST_BATCHES_SORTED)
    return order


class _Tokens:
    """Context manager that keeps the attention mask of each call of a model."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._masks: list[Tensor] = []

    def __enter__(self) -> _Tokens:
        def keep(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            self._masks.append(kwargs["attention_mask"])

        self._handle = self._module.register_forward_pre_hook(keep, with_kwargs=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.remove()

    def tokens(self) -> list[int]:
        return [int(mask.sum()) for mask in self._masks]
