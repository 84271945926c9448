"""Adapters that `run --keep-adapters` leaves: folders that people can read, with a model card, and the way back.

A folder has the files of the method, `cell.json` (what the adapter was trained on) and `README.md`, its model card.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from bench.errors import UsageError, first_error
from bench.plugins.method import Method
from bench.plugins.specs import method_label
from bench.plugins.task import Kind, Task, TaskContext
from bench.records.record import Record
from bench.sanitize import markdown
from bench.train.adaptation import Adapted, restore, write

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from bench.grid.cell import Cell

FOLDER, ABOUT = "adapters", "cell.json"
PEFTS = "adapter_config.json"
LONGEST = 100  # characters of a folder's name that are of the cell's own names


class Kept(BaseModel):
    """`cell.json`: the cell, and what is needed to put the adapter on its base model again.

    labels: in the order of the outputs; none for a regression. max_length: tokens at which inputs were cut.
    """

    cell: str
    method: str
    model: str
    model_source: str
    model_revision: str
    task: str
    kind: Kind
    pair: bool
    labels: list[str]
    num_labels: int
    max_length: int | None
    seed: int

    @classmethod
    def of(cls, record: Record, task: Task) -> Kept:
        cell = record.cell
        return cls(
            cell=record.id,
            method=method_label(cell.method, cell.variant),
            model=cell.model,
            model_source=cell.model_source,
            model_revision=cell.model_revision,
            task=cell.task,
            kind=task.kind,
            pair=task.pair,
            labels=[] if task.kind == "regression" else list(map(str, task.labels)),
            num_labels=task.num_labels,
            max_length=record.data and record.data.max_length,
            seed=cell.seed,
        )


def read(folder: Path) -> Kept:
    """What a kept adapter's folder says of it.

    Raises:
        UsageError: if the folder is none that `run --keep-adapters` wrote.
    """
    try:
        return Kept.model_validate_json((folder / ABOUT).read_bytes())
    except OSError as error:
        raise UsageError(
            f"{folder} is not an adapter that `run --keep-adapters` wrote: {ABOUT} cannot be read ({error.strerror})."
        ) from None
    except ValidationError as error:
        raise UsageError(f"{folder / ABOUT} is wrong: {': '.join(first_error(error))}.") from None


def load(folder: Path, kept: Kept, method: Method, base: Path) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """The tuned model in evaluation mode, and its tokenizer, which cuts texts where they were cut in training.

    base: the base model's folder.

    Raises:
        BenchError: if a file does not fit or cannot be read.
    """
    from bench.train.model import load_model, load_tokenizer, special_tokens

    tokenizer = load_tokenizer(base)
    tokenizer.model_max_length = kept.max_length or tokenizer.model_max_length
    model = load_model(base, kept.kind, kept.num_labels)
    if kept.labels:
        model.config.id2label = dict(enumerate(kept.labels))
        model.config.label2id = {label: at for at, label in enumerate(kept.labels)}
    template = special_tokens(tokenizer, kept.pair)
    task = TaskContext(kept.task, kept.kind, kept.pair, kept.num_labels, template, int(tokenizer.pad_token_id))
    return restore(model, method, folder, task).eval(), tokenizer


def keep(results: Path, method: Method, adapted: Adapted, record: Record, task: Task) -> int:
    """Keep a cell's adapter in a results folder, name its folder in the record, and give the method's bytes.

    The folder is written under another name and renamed when it is complete: nothing is written through a link, and no
    adapter is half of one run and half of another.
    """
    root = results / FOLDER
    root.mkdir(parents=True, exist_ok=True)
    kept = Kept.of(record, task)
    with tempfile.TemporaryDirectory(prefix=".adapter-", dir=root) as temporary:
        made = Path(temporary) / "adapter"
        size = write(method, adapted, made)
        (made / ABOUT).write_text(kept.model_dump_json(indent=2) + "\n", encoding="utf-8")
        folder = _place(made, root, record.cell)
        # After the renaming, since the card names the folder.
        (folder / "README.md").write_text(card(kept, record, folder), encoding="utf-8")
    record.adapter = f"{FOLDER}/{folder.name}"
    return size


def _place(made: Path, root: Path, cell: Cell) -> Path:
    """Rename a folder to the first of the cell's names that no other cell's adapter has."""
    *_, last = _names(cell)
    for name in _names(cell):
        folder = root / name
        if _owner(folder) == cell.id:  # an earlier run's
            folder.rename(made.parent / "before")
        try:
            return made.rename(folder)
        except OSError:
            if name == last or not (folder.exists() or folder.is_symlink()):
                raise
    raise AssertionError


def _names(cell: Cell) -> Iterator[str]:
    """`lora-r-4-rt-polarity-seed0`, and the same with a digest: lower-case ASCII, safe on every file system."""
    words = f"{method_label(cell.method, cell.variant)} {cell.task}".lower()
    name = re.sub(r"[^a-z0-9_.]+", "-", words)[:LONGEST].strip("-.")
    yield f"{name}-seed{cell.seed}"
    yield f"{name}-seed{cell.seed}-{cell.id[:8]}"


def _owner(folder: Path) -> str | None:
    try:
        return None if folder.is_symlink() else read(folder).cell
    except UsageError:
        return None


def card(kept: Kept, record: Record, folder: Path) -> str:
    """The model card, in Markdown."""
    settings = record.recipe.model_dump(exclude_none=True) if record.recipe else {}
    recipe = ", ".join(f"{name} {value}" for name, value in settings.items())
    task = markdown(kept.task)
    lines = [
        f"# {markdown(kept.method)} on {task}, seed {kept.seed}",
        "",
        f"- Base model: {markdown(kept.model)}, from `{kept.model_source}`, revision `{kept.model_revision}`",
        f"- Task: {task} ({kept.kind}, {'pairs of texts' if kept.pair else 'single texts'})",
        *([f"- Labels, in order: {', '.join(map(markdown, kept.labels))}"] if kept.labels else []),
        f"- Score: {record.metric} {_number(record.score)} on test; a constant answer has "
        f"{_number(record.constant_score)}",
        *([f"- **The training came to nothing:** {record.collapsed}."] if record.collapsed else []),
        f"- Recipe: {markdown(recipe)}",
        *(f"- Note: {markdown(note)}" for note in record.notes),
        "",
        "## Loading it",
        "",
        "    import bench",
        f'    model, tokenizer = bench.load_adapter("{folder.name}")',
        "",
        *_with_peft(kept, folder),
    ]
    return "\n".join(lines) + "\n"


def _with_peft(kept: Kept, folder: Path) -> list[str]:
    if not (folder / PEFTS).exists():
        return [
            "Only that gives the model that was scored. No other library reads these files: PEFT refuses them, and a "
            "base model with the same weights would lack what the method or its pooling adds."
        ]
    head = "TokenClassification" if kept.kind == "token-classification" else "SequenceClassification"
    return [
        "The files are in PEFT's format, head included. PEFT alone, without this project:",
        "",
        "    from peft import PeftModel",
        f"    from transformers import AutoModelFor{head}",
        f'    base = AutoModelFor{head}.from_pretrained("BASE", num_labels={kept.num_labels})',
        f'    model = PeftModel.from_pretrained(base, "{folder.name}").eval()',
        "",
        "BASE is the base model's folder or repository, at the revision above.",
    ]


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
