"""Full fine-tuning: every parameter trains."""

from typing import Any

from bench.plugins import Method, Recipe, TaskContext, rates


class Full(Method):
    name = "full"
    summary = "full fine-tuning: every parameter of the backbone trains"
    paper = "Devlin et al., BERT, NAACL 2019"
    space = rates(1e-5, 1e-3, source="Devlin et al., GLUE: 2e-5 to 5e-5", published=(2e-5, 5e-5))

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        return Recipe(
            learning_rate=5e-5,
            epochs=2,
            min_steps=100,
            weight_decay=0.01,
            chosen_by="this project, rt-polarity validation, seed 0, 3 trials",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        return model.requires_grad_(True)
