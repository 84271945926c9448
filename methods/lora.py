"""LoRA: low-rank updates of attention matrices (Hu et al., ICLR 2022), by the PEFT library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from bench.method import Method, Params, Recipe

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.task import TaskContext


class LoraParams(Params):
    """r: rank. alpha: the update is scaled by alpha / r. targets: names of linear modules, joined by +."""

    r: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: Annotated[tuple[str, ...], BeforeValidator(lambda v: tuple(v.split("+")) if isinstance(v, str) else v)] = (
        "query",
        "value",
    )


class Lora(Method):
    name = "lora"
    summary = "low-rank updates of the query and value matrices (PEFT)"
    paper = "Hu et al., LoRA, ICLR 2022, arXiv 2106.09685"
    Params = LoraParams

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        return Recipe(
            learning_rate=2e-3,
            epochs=3,
            min_steps=100,
            chosen_by="this project, rt-polarity validation, seed 0, 3 trials",
        )

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        from peft import LoraConfig, inject_adapter_in_model

        from bench.modeling import backbone

        config = LoraConfig(
            r=self.params.r,
            lora_alpha=self.params.alpha,
            lora_dropout=self.params.dropout,
            target_modules=list(self.params.targets),
        )
        # Into the backbone only: the head is the harness's, and PEFT would keep a copy of it.
        inject_adapter_in_model(config, backbone(model))
        return model

    def trainable_formula(self, config: PreTrainedConfig, task: TaskContext) -> int | None:
        """r * (inputs + outputs) for each adapted matrix; here for the square ones of self-attention."""
        if not set(self.params.targets) <= {"query", "key", "value"}:
            return None
        return config.num_hidden_layers * len(self.params.targets) * 2 * self.params.r * config.hidden_size
