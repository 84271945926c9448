"""IA3: keys, values and feed-forward activations rescaled (Liu et al., NeurIPS 2022), by the PEFT library."""

from typing import Any

from bench.plugins import NotApplicable, Recipe, TaskContext, rates
from methods._peft import PeftMethod, put

# By model family: the linear layers of keys and values, whose outputs are scaled, and the second one of the
# feed-forward part, whose inputs are. Regular expressions over whole module names of the backbone.
_BERT = (r".*\.attention\.self\.(key|value)", r".*\.layer\.\d+\.output\.dense")
_MODULES = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), _BERT),
    "deberta-v2": (r".*\.attention\.self\.(key_proj|value_proj)", r".*\.layer\.\d+\.output\.dense"),
    "distilbert": (r".*\.attention\.(k_lin|v_lin)", r".*\.ffn\.lin2"),
    "mpnet": (r".*\.attention\.attn\.(k|v)", r".*\.layer\.\d+\.output\.dense"),
}


class IA3(PeftMethod):
    """Equations 1 to 3 of the paper: l_k * K, l_v * V and l_ff * g(W1 x), each l a vector that starts at ones.

    PEFT's own targets for BERT end in "output.dense", which hits the output of the attention as well and
    scales its inputs, that is the values, a second time. Here that one is left alone, as in the paper;
    `peft:ia3` is PEFT's.
    """

    name = "ia3"
    summary = "keys, values and feed-forward activations rescaled (PEFT)"
    paper = "Liu et al., Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper, NeurIPS 2022, arXiv 2205.05638"
    space = rates(1e-3, 1e-1, source="the authors' code: 3e-3; PEFT's example: 1e-3", published=(1e-3, 3e-3))

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        return Recipe(
            learning_rate=1e-2,
            epochs=6,
            min_steps=100,
            chosen_by="not tuned: a first guess between lora's and pasta's, whose size it is nearer to",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        from peft import IA3Config

        family = model.config.model_type
        if family not in _MODULES:
            raise NotApplicable(f"ia3 does not know the model family {family!r}; it knows: {', '.join(_MODULES)}.")
        attention, feed_forward = _MODULES[family]
        config = IA3Config(target_modules=f"{attention}|{feed_forward}", feedforward_modules=feed_forward)
        put(model, config, self.name)
        return model

    def trainable_formula(self, config: Any, task: TaskContext) -> int | None:
        """Keys and values have the hidden size, the feed-forward part its own width, in each layer."""
        if config.model_type not in _MODULES:
            return None
        width = config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size
        return int(config.num_hidden_layers * (2 * config.hidden_size + width))
