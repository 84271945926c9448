"""The head alone on a frozen backbone: the floor of every comparison.

The smallest method, and a template for one of your own: copy the file to methods/NAME.py (see docs/plugins.md).
"""

from typing import Any

from bench.plugins import Method, NotApplicable, Params, Pooling, Recipe, TaskContext, rates


class HeadParams(Params):
    """head[pooling=mean]: what the head reads of a text; None: as the suite says."""

    pooling: Pooling | None = None


class Head(Method):
    name = "head"  # as in `run --methods head`
    summary = "the task head alone on a frozen backbone"
    paper = "Devlin et al., BERT, NAACL 2019 (feature-based approach)"
    Params = HeadParams
    # The learning rates that `tune` tries. No dropout, with which the features would be computed anew in every step.
    space = rates(3e-3, 3e-1, source="this project", options={})
    own_length = True  # a floor has to be reached: no suite shortens the training of a few hundred numbers

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        """How to train where neither a suite nor methods/recipes/head.json has settings for this task and model."""
        return Recipe(
            learning_rate=3e-2,
            epochs=4,
            min_steps=6000,
            weight_decay=0.03,
            dropout=0.0,  # so that the frozen features are the same in every epoch and are computed only once
            chosen_by="this project: validation of rt-polarity, rt-intensity and sms-spam, 2,000 examples, one seed",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        """Mark what trains. The model arrives frozen, and the harness itself lets the task head train."""
        if self.params.pooling is not None and task.kind == "token-classification":
            raise NotApplicable("head[pooling=...] is for whole texts: here the head reads every token's own state.")
        return model

    def pooling(self) -> Pooling | None:
        """How the head reads a text, where it is not left to the suite."""
        return self.params.pooling

    def starts_at_base(self) -> bool:
        """Whether the outputs before any training are the base model's; `check` compares them."""
        return self.params.pooling in (None, "model")

    def trainable_formula(self, config: Any, task: TaskContext) -> int:
        """The number of trained parameters of the backbone; `check` compares it with the real one."""
        return 0
