"""The training loops that are compared: this project's, transformers' Trainer, PEFT's, and that of PASTA's authors.

The other projects' loops are used as their documentation has it, on a model loaded as `from_pretrained` gives it:
nothing that this project does to a model to make it faster is done to theirs. A default of theirs that costs time
and is no part of training (logging, checkpoints, progress bars) is turned off.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pasta_reference
import torch
from torch import nn

from bench import profiles
from bench.errors import UsageError
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe, cheaper_masks
from bench.plugins.specs import build_method, parse
from bench.plugins.task import Example, Task
from bench.train import kernels
from bench.train.adaptation import adapt
from bench.train.data import Encoded, encode, read
from bench.train.loop import total_steps, train
from bench.train.model import context, init_head, load_config, load_model, load_tokenizer, quiet_libraries

BATCH = 32  # examples per optimiser step, for every contender


@dataclass(frozen=True)
class Setting:
    """The model, the task and its training examples, the same for all contenders. What is read is read once."""

    model: Path
    task_name: str
    data: Path
    plugins: tuple[Path, ...] = ()

    @cached_property
    def task(self) -> Task:
        """The task.

        Raises:
            UsageError: if it is not a classification: the other loops are written for one.
        """
        quiet_libraries()
        task = registry.tasks(self.plugins).get(self.task_name).plugin()
        if task.kind != "classification":
            raise UsageError(f"{task.name} is a {task.kind} task; choose a classification of texts or pairs.")
        return task

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(self.model)

    @cached_property
    def splits(self) -> dict[str, list[Example]]:
        return read(self.task, self.data)

    def method(self, spec: str) -> Method:
        return build_method(registry.methods(self.plugins), parse(spec))

    def recipe(self, spec: str, epochs: float | None = None) -> Recipe:
        """A method's own recipe in batches of 32, with the model's own dropout; epochs: None: the recipe's.

        No loop clips gradients, as PEFT's and that of PASTA's authors do not.
        """
        recipe = self.method(spec).recipe(context(self.task, self.tokenizer), load_config(self.model))
        changes: dict[str, Any] = {"batch_size": BATCH, "dropout": None, "max_grad_norm": None}
        return recipe.model_copy(update=changes | ({} if epochs is None else {"epochs": epochs, "min_steps": 0}))

    def sample(self, examples: int, seed: int, first: int | None = None) -> Encoded:
        """Training examples drawn without replacement, tokenised; first: the first few of them alone.

        Raises:
            UsageError: if the training split has fewer.
        """
        pool = self.splits["train"]
        if examples > len(pool):
            raise UsageError(f"{self.task.name} has {len(pool):,} training examples, fewer than {examples:,}.")
        drawn = np.random.Generator(np.random.PCG64(seed)).choice(len(pool), examples, replace=False)
        return encode(self.task, [pool[int(at)] for at in drawn[:first]], self.tokenizer)


class Prepared(NamedTuple):
    """A model and its training call, which returns the mean loss of the steps."""

    module: nn.Module
    train: Callable[[], float]


class Contender(NamedTuple):
    """what: a description. method: whose recipe it trains with. ours: whether it is this project's loop, which runs
    in the environment of a cell's worker.
    """

    what: str
    method: str
    prepare: Callable[[Setting, Encoded, Recipe, int], Prepared]
    ours: bool = False


def this_loop(spec: str, setting: Setting, data: Encoded, recipe: Recipe, seed: int) -> Prepared:
    """`bench.train.loop.train` as a cell calls it: with deterministic algorithms, which the others do without."""
    stream = seeds.streams(seed)
    model = load_model(setting.model, setting.task.kind, setting.task.num_labels, recipe.dropout)
    adapted = adapt(model, setting.method(spec), context(setting.task, setting.tokenizer), stream)
    kernels.install(adapted.module, cheaper_masks("cpu"))

    def call() -> float:
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.manual_seed(stream[seeds.TRAINING])
        try:
            trained = train(adapted, data, recipe, profiles.load("cpu"), stream[seeds.DATA_ORDER])
        finally:
            torch.use_deterministic_algorithms(False)
        return float(np.mean(trained.losses))

    return Prepared(adapted.module, call)


def stock_model(setting: Setting, seed: int) -> Any:
    """The encoder as `from_pretrained` gives it, in float32, its head drawn as this project draws it."""
    from transformers import AutoModelForSequenceClassification

    labels = setting.task.num_labels
    model = AutoModelForSequenceClassification.from_pretrained(str(setting.model), num_labels=labels, dtype="float32")
    init_head(model, seeds.streams(seed)[seeds.HEAD_INIT])
    return model


def peft_lora(setting: Setting, seed: int) -> Any:
    """PEFT's LoRA by `get_peft_model`, with this project's parameters for it; the head trains."""
    from peft import LoraConfig, TaskType, get_peft_model

    params: Any = setting.method("lora").params
    model = stock_model(setting, seed)
    torch.manual_seed(seeds.streams(seed)[seeds.METHOD_INIT])
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=params.r, lora_alpha=params.alpha, lora_dropout=params.dropout,
        target_modules=list(params.targets) if params.targets else None,
    )  # fmt: skip
    return get_peft_model(model, config)


def hf_trainer(
    sampling: str, as_if_large: bool, setting: Setting, data: Encoded, recipe: Recipe, seed: int
) -> Prepared:
    """The Trainer with DataCollatorWithPadding (to the longest of a batch) and its own defaults otherwise.

    Args:
        sampling: `train_sampling_strategy` (transformers 5); random is the default.
        as_if_large: group by length as the Trainer does with 6,400 examples or more. It sorts within a quarter of
            the data, and within 50 batches at most: a small sample alone pads more and would say too much against it.
    """
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments
    from transformers.trainer_pt_utils import get_length_grouped_indices

    module, total = peft_lora(setting, seed), total_steps(len(data), recipe)
    folder = tempfile.TemporaryDirectory()  # an argument that must be there; nothing is written to it
    arguments = TrainingArguments(
        output_dir=folder.name,
        per_device_train_batch_size=recipe.batch_size,
        max_steps=total,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=round(recipe.warmup_ratio * total),
        max_grad_norm=recipe.max_grad_norm or 0.0,  # 0: no clipping
        train_sampling_strategy=sampling,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=seeds.streams(seed)[seeds.DATA_ORDER] % 2**32,  # numpy's limit
    )
    trainer = Trainer(
        model=module,
        args=arguments,
        train_dataset=dataset(data),
        data_collator=DataCollatorWithPadding(setting.tokenizer),
        processing_class=setting.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)  # takes the progress bar's place, on standard output
    if as_if_large:
        lengths = data.lengths.tolist()
        trainer._get_train_sampler = lambda _=None: get_length_grouped_indices(lengths, recipe.batch_size, 50)

    def call() -> float:
        with folder, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*")  # its default, and there is no accelerator
            return float(trainer.train().training_loss)

    return Prepared(module, call)


def peft_loop(setting: Setting, data: Encoded, recipe: Recipe, seed: int) -> Prepared:
    """A loop in the style of PEFT's own method comparison: no Trainer, batches bucketed by length.

    After `method_comparison/MetaMathQA/run.py` and `utils.py` of huggingface/peft (Apache 2.0), which train decoders.
    Kept: the buckets of 20 batches, `tokenizer.pad` on each batch, AdamW over all parameters, a cosine schedule with a
    tenth of warm-up, `outputs.loss`, and reading the loss back in each step. Left out: evaluation, emptying an
    accelerator's cache, the progress bar, and a second pass over the remainder of the data that the original makes.
    """
    from transformers import get_cosine_schedule_with_warmup

    model, total, rows = peft_lora(setting, seed), total_steps(len(data), recipe), dataset(data)

    def batches() -> Iterator[dict[str, list[Any]]]:
        while True:
            yield from bucketed(rows, recipe.batch_size)

    def call() -> float:
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = get_cosine_schedule_with_warmup(optimizer, int(0.1 * total), total)
        losses = []
        model.train()
        for _, batch in zip(range(total), batches(), strict=False):
            labels = torch.tensor(batch.pop("labels"))
            inputs = setting.tokenizer.pad(batch, return_tensors="pt")
            optimizer.zero_grad()
            loss = model(**inputs, labels=labels).loss
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    return Prepared(model, call)


def bucketed(rows: Any, batch_size: int, factor: int = 20) -> Iterator[dict[str, list[Any]]]:
    """Batches of a data set, from the longest examples of each bucket of `factor` batches to its shortest."""
    for start in range(0, len(rows), batch_size * factor):
        bucket = rows[start : start + batch_size * factor]
        order = sorted(range(len(bucket["input_ids"])), key=lambda at: -len(bucket["input_ids"][at]))
        for at in range(0, len(order), batch_size):
            yield {key: [values[i] for i in order[at : at + batch_size]] for key, values in bucket.items()}


def pasta_authors(setting: Setting, data: Encoded, recipe: Recipe, seed: int) -> Prepared:
    """PASTA as its authors formulate it, see pasta_reference.py."""
    model = stock_model(setting, seed)
    torch.manual_seed(seeds.streams(seed)[seeds.METHOD_INIT])
    pasta_reference.attach(model, context(setting.task, setting.tokenizer).template)
    steps, rows = total_steps(len(data), recipe), dataset(data)
    return Prepared(model, lambda: pasta_reference.train(model, rows, setting.tokenizer, recipe, steps))


def dataset(data: Encoded) -> Any:
    """Tokenised examples as a `datasets.Dataset`, labels included."""
    from datasets import Dataset

    columns: dict[str, Sequence[Any]] = {key: [row.tolist() for row in rows] for key, rows in data.inputs.items()}
    return Dataset.from_dict({**columns, "labels": list(data.references)})


CONTENDERS = {
    "lora": Contender("this loop, LoRA", "lora", partial(this_loop, "lora"), ours=True),
    "trainer": Contender("transformers' Trainer with PEFT's LoRA", "lora", partial(hf_trainer, "random", False)),
    "trainer-grouped": Contender(
        "the same, batches grouped by length", "lora", partial(hf_trainer, "group_by_length", False)
    ),
    "trainer-grouped-large": Contender(
        "the same, grouped as with 6,400 examples", "lora", partial(hf_trainer, "group_by_length", True)
    ),
    "peft-loop": Contender("a loop as in PEFT's method comparison", "lora", peft_loop),
    "pasta": Contender("this loop, PASTA", "pasta", partial(this_loop, "pasta"), ours=True),
    "full": Contender("this loop, full fine-tuning", "full", partial(this_loop, "full"), ours=True),
    "pasta-reference": Contender("PASTA as its authors formulate it", "pasta", pasta_authors),
}
