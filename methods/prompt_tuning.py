"""Prompt tuning: trained embeddings before the input (Lester et al., EMNLP 2021), by the PEFT library."""

from typing import Any

from pydantic import Field

from bench.plugins import Params, Recipe, TaskContext, rates
from methods._peft import PeftMethod, put


class PromptTuningParams(Params):
    """tokens: number of virtual tokens put before the input."""

    tokens: int = Field(20, ge=1)


class PromptTuning(PeftMethod):
    """As PEFT does it on an encoder: the virtual tokens come before [CLS].

    BERT's pooler therefore reads the first virtual token, as it does in PEFT's own model for sequence
    classification, whose logits this method reproduces. Where a family's pooler is part of its head
    (RoBERTa, ELECTRA), it reads the text's first token. The sequence grows by `tokens`, and with it the
    cost of every layer.
    """

    name = "prompt_tuning"
    summary = "trained virtual tokens before the input (PEFT)"
    paper = "Lester et al., The Power of Scale for Parameter-Efficient Prompt Tuning, EMNLP 2021, arXiv 2104.08691"
    Params = PromptTuningParams
    space = rates(1e-3, 3e-1, source="PEFT's example: 1e-3; Lester et al.: 0.3, with Adafactor", published=(1e-3, 3e-1))

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        return Recipe(
            learning_rate=3e-2,
            epochs=6,
            min_steps=100,
            chosen_by="not tuned: the first guess for PASTA, whose size it has",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        from peft import PromptTuningConfig

        put(model, PromptTuningConfig(num_virtual_tokens=self.params.tokens), self.name)
        return model

    def trainable_formula(self, config: Any, task: TaskContext) -> int:
        # Some families (ELECTRA) embed tokens in fewer dimensions than their layers have.
        return int(self.params.tokens * getattr(config, "embedding_size", config.hidden_size))

    def virtual_tokens(self) -> int:
        return int(self.params.tokens)

    def starts_at_base(self) -> bool:
        return False
