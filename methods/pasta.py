"""PASTA: parameter-efficient tuning with special token adaptation (Yang, Huang, Zhou and Chen, EACL 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.errors import NotApplicable
from bench.method import Method, Params, Recipe

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.task import TaskContext


class PastaParams(Params):
    """init_std and dropout default to the model's own initializer_range and hidden_dropout_prob, as the paper's."""

    init_std: float | None = Field(None, ge=0)
    dropout: float | None = Field(None, ge=0, lt=1)


class Pasta(Method):
    """One vector per special-token slot and layer; see `methods._special_token_vectors` for the equation."""

    name = "pasta"
    summary = "one trained vector per special token and layer, added before self-attention"
    paper = "Yang et al., Parameter-Efficient Tuning with Special Token Adaptation, EACL 2023, arXiv 2210.04382"
    Params = PastaParams

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        return Recipe(
            learning_rate=3e-2,
            epochs=6,
            min_steps=100,
            # So few parameters underfit: without dropout the loss falls further, and validation is no worse.
            dropout=0.0,
            chosen_by="this project, rt-polarity validation, seed 0, 13 trials",
        )

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        from bench.modeling import backbone
        from methods._special_token_vectors import SpecialTokenVectors

        config = model.config
        if config.model_type != "bert":
            raise NotApplicable(f"pasta does not know the model family {config.model_type!r}; it knows: bert.")
        std, dropout = self.params.init_std, self.params.dropout
        vectors = SpecialTokenVectors(
            layers=config.num_hidden_layers,
            slots=len(task.template),
            hidden=config.hidden_size,
            special_ids=task.template,
            std=config.initializer_range if std is None else std,
            dropout=config.hidden_dropout_prob if dropout is None else dropout,
        )
        model.pasta = vectors
        encoder: Any = backbone(model)
        vectors.attach(encoder, encoder.encoder.layer)
        return model

    def trainable_formula(self, config: PreTrainedConfig, task: TaskContext) -> int:
        return len(task.template) * config.num_hidden_layers * config.hidden_size

    def starts_at_base(self) -> bool:
        return self.params.init_std == 0
