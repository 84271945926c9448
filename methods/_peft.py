"""What the methods built on PEFT's layers share: lists as parameters, injection, errors as sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from bench.errors import NotApplicable

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def _split(value: Any) -> Any:
    return tuple(value.split("+")) if isinstance(value, str) else value


# Lists on the command line: `targets=query+value`.
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_split)]


def inject(model: PreTrainedModel, config: Any, name: str, option: str = "target_modules") -> None:
    """Put the layers of a PEFT config into a model's backbone, in place; PEFT marks what trains.

    Into the backbone only: the head is the harness's, and PEFT would keep a copy of it.

    Args:
        name: the method, for error messages. option: what its parameter for target modules is called.

    Raises:
        NotApplicable: where PEFT cannot put this config on this model, in one sentence.
    """
    from peft import TaskType, get_peft_model, inject_adapter_in_model
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    from bench.train.model import backbone

    encoder: Any = backbone(model)
    wanted = config.target_modules
    if wanted is not None and not isinstance(wanted, str):  # a string is a pattern, or all-linear
        require_modules(encoder, wanted, name)
    try:
        if getattr(PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type], "uses_shared_state", False):
            # Matrices that all layers share live on PEFT's own model, which therefore has to be the one called.
            config.task_type = TaskType.FEATURE_EXTRACTION
            setattr(model, model.base_model_prefix, get_peft_model(encoder, config))
        else:
            inject_adapter_in_model(config, encoder)
    except (ValueError, TypeError, NotImplementedError) as error:
        family = encoder.config.model_type
        if wanted is None and "target_modules" in str(error):
            raise NotApplicable(
                f"{name}: PEFT has no default target modules for the model family {family!r}; "
                f"name some with {option}=A+B, of: {', '.join(linear_names(encoder))}."
            ) from None
        reason = " ".join(str(error).split())
        raise NotApplicable(f"{name} cannot be put on this {family} model: {reason}") from None


def require_modules(encoder: nn.Module, wanted: Iterable[str], name: str) -> None:
    """See that each name wanted is there, for PEFT is content if one of them is.

    Raises:
        NotApplicable: naming the first that is not, and the linear modules there are.
    """
    present = [module for module, _ in encoder.named_modules()]
    for target in sorted(wanted):
        if not any(module == target or module.endswith(f".{target}") for module in present):
            raise NotApplicable(
                f"{name}: the model has no module {target!r}; its linear modules are: "
                f"{', '.join(linear_names(encoder))}."
            )


def linear_names(encoder: nn.Module) -> list[str]:
    """The last part of the names of all linear layers, sorted."""
    from torch import nn

    return sorted({name.rpartition(".")[2] for name, part in encoder.named_modules() if isinstance(part, nn.Linear)})
