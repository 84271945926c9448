"""The head alone on a frozen backbone: the floor of every comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.plugins.search_space import rates

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.plugins.task import TaskContext


class Head(Method):
    name = "head"
    summary = "the task head alone on a frozen backbone"
    paper = "Devlin et al., BERT, NAACL 2019 (feature-based approach)"
    space = rates(1e-3, 1e-1)

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        return Recipe(
            learning_rate=1e-2,
            epochs=1,
            min_steps=100,
            # The features are the frozen model's own, as without training; so they are computed once (features.py).
            dropout=0.0,
            chosen_by="learning rate: this project's first rough loop, rt-polarity, one seed",
        )

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        return model

    def trainable_formula(self, config: PreTrainedConfig, task: TaskContext) -> int:
        return 0
