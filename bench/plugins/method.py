"""A tuning method: the base class of every plugin in methods/.

This module and every plugin must be importable without torch: `list` reads names and summaries only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from bench.plugins.recipe import Recipe
from bench.plugins.search_space import Space

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.plugins.task import Pooling, TaskContext


class Params(BaseModel):
    """A method's parameters: typed, with defaults, unknown names refused. Part of a cell's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Method:
    """A tuning method. The registry finds a subclass in methods/NAME.py.

    The harness freezes the whole model, calls `apply`, and then lets the task head train: a method only deals with
    the backbone. `name`, `recipe` and `apply` are required. `space` is what `tune` may try of the recipe's settings;
    None: nothing. own_length: the method trains as long as its recipe says, whatever a suite's epochs_scale is and
    however short the trials of `tune` are.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    Params: ClassVar[type[BaseModel]] = Params
    space: ClassVar[Space | None] = None
    own_length: ClassVar[bool] = False

    def __init__(self, params: BaseModel) -> None:
        self.params: Any = params

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        """The default optimiser settings for this task on a model of this configuration."""
        raise NotImplementedError

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        """Adapt a frozen model in place, mark what trains, and return the module to call.

        The returned module takes input_ids, attention_mask and, where the model has them, token_type_ids
        ([batch, length], int64), and returns an object with `logits`: [batch, labels], or
        [batch, length, labels] for token classification. Random numbers come from torch's global generator,
        which the harness has seeded for the method.
        """
        raise NotImplementedError

    def trainable_formula(self, config: PreTrainedConfig, task: TaskContext) -> int | None:
        """The number of trained parameters, without the head, according to the paper; None: it gives none."""
        return None

    def pooling(self) -> Pooling | None:
        """How the head reads a text, see `bench.train.pooling`; None: as the suite says."""
        return None

    def virtual_tokens(self) -> int:
        """How many positions before the text the method takes: texts must be that much shorter than the model's."""
        return 0

    def starts_at_base(self) -> bool:
        """Whether the adapted model gives the base model's outputs before any training."""
        return True

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was trained, head included, as `adapter.safetensors`, and `adapter.json`: by which method."""
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        write_tensors(trained, folder / "adapter.safetensors")
        self.describe(folder)

    def describe(self, folder: Path, **more: Any) -> None:
        """Write `adapter.json`: the method, its parameters, and whatever else `load` needs."""
        about = {"method": self.name, "params": self.params.model_dump(mode="json"), **more}
        (folder / "adapter.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    def load(self, model: nn.Module, folder: Path) -> None:
        """Read what `save` wrote into a model that `apply` has adapted in the same way.

        Raises:
            ValueError: if the file does not hold exactly the tensors that train, in their shapes.
        """
        from safetensors.torch import load_file

        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        fill(trained, load_file(folder / "adapter.safetensors"), folder)


def write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors as a safetensors file, and its folder."""
    from safetensors.torch import save

    file.parent.mkdir(parents=True, exist_ok=True)
    # Not by save_file, which makes files that only their owner can read.
    plain = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    file.write_bytes(save(plain, metadata={"format": "pt"}))


def fill(tensors: Mapping[str, Tensor], saved: Mapping[str, Tensor], folder: str | Path) -> None:
    """Copy saved tensors into a model's own of the same names; nothing is changed unless all of them fit.

    Raises:
        ValueError: if the names or shapes differ; folder: where they come from, for the message.
    """
    import torch

    odd = sorted(saved.keys() ^ tensors.keys())
    odd += [name for name in tensors if name in saved and saved[name].shape != tensors[name].shape]
    if odd:
        raise ValueError(f"The adapter in {folder} does not fit this model: {', '.join(odd[:3])}.")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(saved[name])


class MethodFamily:
    """Many methods under one name, without a file each: `NAME:MEMBER` on the command line.

    The registry finds a subclass in methods/. `list` calls `members` and `refused`, so they must be quick and import
    nothing heavy. `method` is called for a member that was asked for, and may import what it needs.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""

    def members(self) -> Sequence[str]:
        """The names that can be asked for."""
        raise NotImplementedError

    def refused(self) -> Mapping[str, str]:
        """Names that one might expect among the members, each with the reason why it is not one."""
        return {}

    def method(self, member: str) -> type[Method]:
        """The class of a member, named `NAME:MEMBER`; the same class each time."""
        raise NotImplementedError
