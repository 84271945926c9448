"""The head alone on a frozen backbone: the floor of every comparison.

The smallest method, and a template for one of your own: copy the file to methods/NAME.py (see docs/plugins.md).
"""

from typing import Any

from bench.plugins import Method, Recipe, TaskContext, rates


class Head(Method):
    name = "head"  # as in `run --methods head`
    summary = "the task head alone on a frozen backbone"
    paper = "Devlin et al., BERT, NAACL 2019 (feature-based approach)"
    space = rates(1e-3, 1e-1)  # the learning rates that `tune` tries

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        """How to train where neither a suite nor methods/recipes/head.json has settings for this task and model."""
        return Recipe(
            learning_rate=1e-2,
            epochs=1,
            min_steps=100,
            dropout=0.0,  # so that the frozen features are the same in every epoch and are computed only once
            chosen_by="learning rate: this project's first rough loop, rt-polarity, one seed",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        """Mark what trains. The model arrives frozen, and the harness itself lets the task head train."""
        return model

    def trainable_formula(self, config: Any, task: TaskContext) -> int:
        """The number of trained parameters of the backbone; `check` compares it with the real one."""
        return 0
