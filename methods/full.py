"""Full fine-tuning: every parameter trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.plugins.search_space import rates

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.plugins.task import TaskContext


class Full(Method):
    name = "full"
    summary = "full fine-tuning: every parameter of the backbone trains"
    paper = "Devlin et al., BERT, NAACL 2019"
    space = rates(1e-5, 1e-3)

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        return Recipe(
            learning_rate=5e-5,
            epochs=2,
            min_steps=100,
            weight_decay=0.01,
            max_grad_norm=1.0,
            chosen_by="this project, rt-polarity validation, seed 0, 3 trials",
        )

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        model.requires_grad_(True)
        return model
