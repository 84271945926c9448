"""The contract's tiny BERT as a folder on disk, its tiny tasks of every kind, and what tests do with them."""

from pathlib import Path
from typing import Any

from bench import profiles
from bench.check import encoder
from bench.check.encoder import HIDDEN as HIDDEN
from bench.check.encoder import LAYERS as LAYERS
from bench.check.encoder import logits as logits
from bench.check.encoder import tiny_config as config
from bench.check.examples import KINDS as KINDS
from bench.check.examples import VOCAB as VOCAB
from bench.check.examples import examples as examples
from bench.check.examples import task as task
from bench.plugins.recipe import Recipe
from bench.profiles import Profile
from bench.train.model import load_model, load_tokenizer

CLS, SEP, PAD = 2, 3, 0


def save(folder: Path, **changes: Any) -> Path:
    """Write model and tokenizer as a pretrained model's folder; changes: of the configuration."""
    from transformers import BertModel

    encoder.random_model(lambda: BertModel(config(**changes))).save_pretrained(folder)
    encoder.tiny_tokenizer().save_pretrained(folder)
    return folder


class Tiny(encoder.Encoder):
    """The tiny model's folder and what is made from it. What is read from disk is read once."""

    def __init__(self, path: Path) -> None:
        super().__init__(load_tokenizer(path), lambda task: load_model(path, task.kind, task.num_labels))
        self.path = path


def recipe(**changes: Any) -> Recipe:
    """Four examples a batch, one epoch."""
    return Recipe(**{"learning_rate": 1e-2, "epochs": 1, "batch_size": 4, "chosen_by": "a test", **changes})


def profile(**changes: Any) -> Profile:
    """Whole batches on a CPU."""
    return profiles.load("cpu").model_copy(update=changes)


def ids(*rows: list[int]) -> Any:
    """Rows of token ids, padded on the right: [rows, longest], int64."""
    import torch

    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def mask(input_ids: Any) -> Any:
    return (input_ids != PAD).long()


def safetensors(folder: Path) -> dict[str, Any]:
    """The tensors of a model folder by name."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")
