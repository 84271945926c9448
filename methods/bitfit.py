"""BitFit: the bias terms train, nothing else (Ben Zaken, Goldberg and Ravfogel, ACL 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import NotApplicable
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.plugins.search_space import rates

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.plugins.task import TaskContext


class BitFit(Method):
    name = "bitfit"
    summary = "the bias terms of the backbone, layer norms' included"
    paper = "Ben Zaken et al., BitFit, ACL 2022, arXiv 2106.10199"
    space = rates(3e-4, 3e-2)

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        return Recipe(
            learning_rate=5e-3,
            epochs=3,
            min_steps=100,
            dropout=0.0,  # so few parameters underfit, as pasta's do
            chosen_by="learning rate: this project's first rough loop, rt-polarity, one seed; dropout: as pasta",
        )

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        from bench.train.model import backbone

        biases = [parameter for name, parameter in backbone(model).named_parameters() if name.endswith("bias")]
        if not biases:
            raise NotApplicable(
                f"bitfit trains bias terms, and this model of the family {model.config.model_type!r} has none."
            )
        for bias in biases:
            bias.requires_grad_(True)
        return model

    def trainable_formula(self, config: PreTrainedConfig, task: TaskContext) -> int | None:
        """Counted by hand for BERT: nine hidden-sized terms and one of the feed-forward width a layer."""
        if config.model_type != "bert":
            return None
        # query, key, value, attention output, its norm, feed-forward output, its norm: 7 of hidden size.
        layer = 7 * config.hidden_size + config.intermediate_size
        embeddings = config.hidden_size  # the norm after the embeddings
        pooler = 0 if task.kind == "token-classification" else config.hidden_size
        return config.num_hidden_layers * layer + embeddings + pooler
