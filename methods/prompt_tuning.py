"""Prompt tuning: trained embeddings before the input (Lester et al., EMNLP 2021), by the PEFT library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from bench.method import Method, Params, Recipe

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.task import TaskContext


class PromptTuningParams(Params):
    """tokens: number of virtual tokens put before the input."""

    tokens: int = Field(20, ge=1)


class PromptTuning(Method):
    """As PEFT does it on an encoder: the virtual tokens come before [CLS].

    BERT's pooler therefore reads the first virtual token, as it does in PEFT's own model for sequence
    classification, whose logits this method reproduces. The sequence grows by `tokens`, and with it the
    cost of every layer.
    """

    name = "prompt_tuning"
    summary = "trained virtual tokens before the input (PEFT)"
    paper = "Lester et al., The Power of Scale for Parameter-Efficient Prompt Tuning, EMNLP 2021, arXiv 2104.08691"
    Params = PromptTuningParams

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        return Recipe(learning_rate=3e-2, epochs=6, chosen_by="nobody yet: PASTA's, whose size it has")

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        from peft import PromptTuningConfig, TaskType, get_peft_model

        from bench.modeling import backbone

        config = PromptTuningConfig(num_virtual_tokens=self.params.tokens, task_type=TaskType.FEATURE_EXTRACTION)
        prompted = get_peft_model(backbone(model), config)
        prompted.register_forward_hook(self._drop_prompt)
        setattr(model, model.base_model_prefix, prompted)
        return model

    def _drop_prompt(self, module: nn.Module, args: object, output: PreTrainedModel) -> PreTrainedModel:
        """Take the virtual tokens' own states off, so that a head for tokens sees the text's alone."""
        output.last_hidden_state = output.last_hidden_state[:, self.params.tokens :]
        return output

    def trainable_formula(self, config: PreTrainedConfig, task: TaskContext) -> int:
        return int(self.params.tokens * config.hidden_size)

    def starts_at_base(self) -> bool:
        return False
