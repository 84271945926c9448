"""Prefix tuning: trained keys and values before each layer's own, as P-tuning v2 does it (Liu et al., ACL 2022)."""

from typing import Any

from pydantic import Field

from bench.plugins import Params, Recipe, TaskContext, rates
from methods._peft import PeftMethod, put


class PrefixTuningParams(Params):
    """tokens: number of key and value vectors put before those of each layer."""

    tokens: int = Field(20, ge=1)


class PrefixTuning(PeftMethod):
    """P-tuning v2 without reparametrisation, by PEFT: self-attention of layer l reads [P_k; K] and [P_v; V].

    Only keys and values grow, no query, so heads see the text's states and nothing else. As in the authors'
    code (github.com/THUDM/P-tuning-v2), P is drawn from N(0, 1), and the text's positions begin after the
    prefix, so that text and prefix together must fit into the model's positions; other than there, the
    prefix has no dropout of its own. PEFT hands the prefix over as a cache, which an encoder of
    transformers 5 takes. The tests compare that to a self-attention written out by hand.
    """

    name = "prefix_tuning"
    summary = "trained keys and values before each layer's own: P-tuning v2 (PEFT)"
    paper = "Liu et al., P-Tuning v2, ACL 2022, arXiv 2110.07602; Li and Liang, Prefix-Tuning, ACL 2021"
    Params = PrefixTuningParams
    space = rates(
        1e-3,
        1e-1,
        source="the scripts of P-tuning v2: 5e-3 to 6e-2 (one has 1e-4); PEFT's example: 1e-2",
        published=(5e-3, 6e-2),
    )

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        return Recipe(
            learning_rate=1e-2,
            epochs=6,
            min_steps=100,
            chosen_by="not tuned: a first guess, of the order that the authors' scripts use",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        from peft import PrefixTuningConfig

        put(model, PrefixTuningConfig(num_virtual_tokens=self.params.tokens), self.name)
        return model

    def trainable_formula(self, config: Any, task: TaskContext) -> int:
        heads = config.num_attention_heads
        of_keys = getattr(config, "num_key_value_heads", None) or heads  # fewer where queries share them
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        return int(2 * self.params.tokens * config.num_hidden_layers * of_keys * width)

    def virtual_tokens(self) -> int:
        return int(self.params.tokens)

    def starts_at_base(self) -> bool:
        return False
