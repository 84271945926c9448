"""LoRA: low-rank updates of attention matrices (Hu et al., ICLR 2022), by the PEFT library."""

from typing import Any

from pydantic import Field

from bench.plugins import Params, Recipe, TaskContext, rates
from methods._peft import Names, PeftMethod, put

# Families that PEFT's table of default targets does not have; query and value as there, or the matrix that holds them.
_MORE_TARGETS = {
    "albert": ["query", "value"],
    "camembert": ["query", "value"],
    "distilbert": ["q_lin", "v_lin"],
    "modernbert": ["Wqkv"],
    "mpnet": ["q", "v"],
}
# Square matrices of self-attention, one of each name a layer.
_SQUARE = {"query", "key", "value", "q_lin", "k_lin", "v_lin", "query_proj", "key_proj", "value_proj", "q", "k", "v"}


class LoraParams(Params):
    """r: rank. alpha: the update is scaled by alpha / r. targets: names of linear modules, joined by +.

    Without targets they are PEFT's for the model family: query and value on BERT.
    """

    r: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: Names | None = None


class Lora(PeftMethod):
    name = "lora"
    summary = "low-rank updates of the query and value matrices (PEFT)"
    paper = "Hu et al., LoRA, ICLR 2022, arXiv 2106.09685"
    Params = LoraParams
    space = rates(
        2e-4,
        2e-2,
        source="the authors' code, RoBERTa on GLUE: 2e-4 to 5e-4; PEFT's examples: 3e-4 to 3e-3",
        published=(2e-4, 3e-3),
    )

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        return Recipe(
            learning_rate=2e-3,
            epochs=3,
            min_steps=100,
            chosen_by="this project, rt-polarity validation, seed 0, 3 trials",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        from peft import LoraConfig

        config = LoraConfig(
            r=self.params.r,
            lora_alpha=self.params.alpha,
            lora_dropout=self.params.dropout,
            target_modules=self._targets(model.config),
        )
        put(model, config, self.name, option="targets")
        return model

    def _targets(self, config: Any) -> list[str] | None:
        """The names asked for, or those of the model family; None: there are none."""
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

        if self.params.targets is not None:
            return list(self.params.targets)
        return DEFAULTS.get(config.model_type) or _MORE_TARGETS.get(config.model_type)

    def trainable_formula(self, config: Any, task: TaskContext) -> int | None:
        """r * (inputs + outputs) for each adapted matrix; here for the square ones of self-attention."""
        targets = self._targets(config)
        if not targets or not set(targets) <= _SQUARE or config.model_type == "albert":  # whose layers are shared
            return None
        return int(config.num_hidden_layers * len(targets) * 2 * self.params.r * config.hidden_size)
