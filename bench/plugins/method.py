"""What a tuning method is to the harness: the base class of every plugin in methods/.

This module and every plugin must be importable without torch: `list` reads names and summaries only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.plugins.search_space import Space
    from bench.plugins.task import TaskContext


class Params(BaseModel):
    """A method's parameters: typed, with defaults, unknown names refused. Part of a cell's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Masks = Literal["16-bit", "torch"]


def cheaper_masks(device: str) -> Masks:
    """How dropout's masks cost less on a device, see bench.train.kernels."""
    return "16-bit" if device == "cpu" else "torch"


class Recipe(BaseModel):
    """How a method is trained, and who says so.

    learning_rate is the peak, reached after `warmup_ratio` of all steps and then taken linearly to zero.
    Training takes `epochs`, or `min_steps` where that is more: a few epochs of a few hundred examples are
    too few steps for any method (Mosbach et al., ICLR 2021). batch_size counts examples per optimiser
    step. weight_decay is applied to matrices, not to vectors. A record's recipe says which masks were drawn;
    one that does not is older than the choice, and they were torch's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rate: float = Field(gt=0)
    head_learning_rate: float | None = Field(None, gt=0, description="the head's own peak; None: the same")
    epochs: float = Field(gt=0)
    min_steps: int = Field(0, ge=0, description="small data is gone through more often, to reach so many steps")
    batch_size: int = Field(32, ge=1)
    weight_decay: float = Field(0.0, ge=0)
    dropout: float | None = Field(None, ge=0, lt=1, description="the model's while training; None: as it has it")
    masks: Masks | None = Field(
        None, description="how dropout's masks are drawn, see bench.train.kernels; None: as is cheaper on the device"
    )
    warmup_ratio: float = Field(0.06, ge=0, le=1)
    max_grad_norm: float | None = Field(None, gt=0)
    optimizer: Literal["adamw"] = "adamw"
    chosen_by: str = Field(description="who chose these settings, on what, from how many trials")
    trials: int | None = Field(None, ge=1, description="settings that were tried, these among them; None: not counted")
    trial_examples: int | None = Field(None, ge=1, description="training examples that each of these trials saw")


class Method:
    """A tuning method. A subclass in methods/NAME.py is found by itself.

    The harness freezes the whole model, calls `apply`, and then lets the task head train: a method
    concerns itself with the backbone only.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    Params: ClassVar[type[BaseModel]] = Params
    space: ClassVar[Space] = {}  # of the recipe's settings, for `tune`; empty: there is nothing to search

    def __init__(self, params: BaseModel) -> None:
        self.params: Any = params

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        """The default optimiser settings for this task on a model of this configuration."""
        raise NotImplementedError

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        """Adapt a frozen model in place, mark what trains, and return the module to call.

        The returned module takes input_ids, attention_mask and, where the model has them, token_type_ids
        ([batch, length], int64), and returns an object with `logits`: [batch, labels], or
        [batch, length, labels] for token classification. Chance comes from torch's global generator,
        which the harness has seeded for the method.
        """
        raise NotImplementedError

    def trainable_formula(self, config: PreTrainedConfig, task: TaskContext) -> int | None:
        """The number of parameters, without the head, that the paper promises to train; None: it has none."""
        return None

    def starts_at_base(self) -> bool:
        """Whether the adapted model gives the base model's outputs before any training."""
        return True

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was trained, head included, as `adapter.safetensors`, and `adapter.json`: by which method."""
        from safetensors.torch import save as to_bytes

        folder.mkdir(parents=True, exist_ok=True)
        trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        # Not by save_file, which makes files that only their owner can read.
        (folder / "adapter.safetensors").write_bytes(to_bytes(trained, metadata={"format": "pt"}))
        self.describe(folder)

    def describe(self, folder: Path, **more: Any) -> None:
        """Write `adapter.json`: the method, its parameters, and whatever else `load` will want to know."""
        about = {"method": self.name, "params": self.params.model_dump(mode="json"), **more}
        (folder / "adapter.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    def load(self, model: nn.Module, folder: Path) -> None:
        """Read what `save` wrote into a model that `apply` has adapted in the same way.

        Raises:
            ValueError: if the file does not hold exactly the tensors that train, in their shapes.
        """
        import torch
        from safetensors.torch import load_file

        saved = load_file(folder / "adapter.safetensors")
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if saved.keys() != trained.keys():
            odd = ", ".join(sorted(saved.keys() ^ trained.keys())[:3])
            raise ValueError(f"The adapter in {folder} does not fit this model: {odd}")
        with torch.no_grad():
            for name, parameter in trained.items():
                if saved[name].shape != parameter.shape:
                    raise ValueError(f"The adapter in {folder} does not fit this model: shape of {name}")
                parameter.copy_(saved[name])


class MethodFamily:
    """Many methods under one name, without a file each: `NAME:MEMBER` on the command line.

    A subclass in methods/ is found by itself. `members` and `refused` are called by `list` and must be quick:
    they import nothing heavy. `method` is called for a member that was asked for, and may import what it needs.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]

    def members(self) -> Sequence[str]:
        """The names that can be asked for."""
        raise NotImplementedError

    def refused(self) -> Mapping[str, str]:
        """Names that one might expect among the members, each with the reason why it is none, as a clause."""
        return {}

    def method(self, member: str) -> type[Method]:
        """The class of a member, named `NAME:MEMBER`; the same class each time."""
        raise NotImplementedError
