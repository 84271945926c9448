"""How a method is trained: the settings of the optimiser and of the loop, and who chose them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bench.errors import first_error

WEIGHTED_KINDS = ("classification", "token-classification")  # of tasks whose classes can be weighed in the loss
Masks = Literal["16-bit", "torch"]


def cheaper_masks(device: str) -> Masks:
    """How dropout's masks cost less on a device, see bench.train.kernels."""
    return "16-bit" if device == "cpu" else "torch"


class Recipe(BaseModel):
    """The settings of a training, and who chose them.

    learning_rate is the peak, reached after `warmup_ratio` of all steps and then taken linearly to zero.
    Training takes `epochs`, or `min_steps` where that is more: a few epochs of a few hundred examples are
    too few steps for any method (Mosbach et al., ICLR 2021). batch_size counts examples per optimiser
    step. weight_decay is applied to matrices, not to biases, norms and vectors. Gradients are clipped for every
    method alike, as transformers' Trainer does. A record without `masks` is older than the choice: the masks were
    torch's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rate: float = Field(gt=0)
    head_learning_rate: float | None = Field(None, gt=0, description="the head's own peak; None: the same")
    epochs: float = Field(gt=0)
    min_steps: int = Field(0, ge=0, description="at least this many steps: small data is repeated more often")
    batch_size: int = Field(32, ge=1)
    weight_decay: float = Field(0.0, ge=0)
    dropout: float | None = Field(None, ge=0, lt=1, description="the model's while training; None: its own")
    masks: Masks | None = Field(
        None, description="how dropout's masks are drawn, see bench.train.kernels; None: whatever is cheaper"
    )
    warmup_ratio: float = Field(0.06, ge=0, le=1)
    max_grad_norm: float | None = Field(1.0, gt=0, description="of all gradients together; None: not clipped")
    adam_epsilon: float = Field(1e-8, gt=0)
    optimizer: Literal["adamw"] = "adamw"
    class_weights: Literal["balanced"] | None = Field(
        None, description="of the loss: balanced is scikit-learn's n / (classes * count), from train; None: all alike"
    )
    chosen_by: str = Field(description="who chose these settings, on which data, from how many trials")
    trials: int | None = Field(
        None, ge=0, description="settings that were tried, these included; 0: inherited, none; None: not counted"
    )
    trial_examples: int | None = Field(None, ge=1, description="training examples that each of these trials saw")


LENGTH = {"epochs", "min_steps"}  # settings that are the same in every trial of every method
HISTORY = {"chosen_by", "trials", "trial_examples"}  # where a recipe is from; these settings change no training


def _valid(settings: dict[str, Any]) -> dict[str, Any]:
    if (error := settings_error(settings)) is not None:
        raise ValueError(error)
    return settings


Settings = Annotated[dict[str, Any], AfterValidator(_valid)]
"""Some settings of a recipe by name: validated when a file is read, before any cell uses them."""


def settings_error(settings: dict[str, Any]) -> str | None:
    """The first setting that no recipe has, or whose value no recipe can have; None: there is none."""
    try:
        Recipe(**{"learning_rate": 1, "epochs": 1, "chosen_by": "nobody", **settings})
    except ValidationError as error:
        return ": ".join(first_error(error))
    return None
