"""BitFit: the bias terms train, nothing else (Ben Zaken, Goldberg and Ravfogel, ACL 2022)."""

from typing import Any

from bench.plugins import Method, NotApplicable, Recipe, TaskContext, rates


class BitFit(Method):
    name = "bitfit"
    summary = "the bias terms of the backbone, layer norms' included"
    paper = "Ben Zaken et al., BitFit, ACL 2022, arXiv 2106.10199"
    space = rates(3e-4, 3e-2, source="the authors' code: 1e-3", published=(1e-3,))

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        return Recipe(
            learning_rate=5e-3,
            epochs=3,
            min_steps=100,
            dropout=0.0,  # so few parameters underfit, as pasta's do
            chosen_by="learning rate: this project's first rough loop, rt-polarity, one seed; dropout: as pasta",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        biases = [parameter for name, parameter in model.base_model.named_parameters() if name.endswith("bias")]
        if not biases:
            raise NotApplicable(f"bitfit trains bias terms, and a {model.config.model_type!r} model has none.")
        for bias in biases:
            bias.requires_grad_(True)
        return model

    def trainable_formula(self, config: Any, task: TaskContext) -> int | None:
        """Counted by hand for BERT; None: not known for other families."""
        if config.model_type != "bert":
            return None
        # Of hidden size: query, key, value, attention output, its norm, feed-forward output, its norm.
        layer = 7 * config.hidden_size + config.intermediate_size
        norm_of_embeddings, pooler = config.hidden_size, config.hidden_size
        reads_pooler = task.kind != "token-classification" and task.pooling == "model"
        has_pooler = reads_pooler and not task.lacks_pooler
        return config.num_hidden_layers * layer + norm_of_embeddings + has_pooler * pooler
