"""Prompt tuning: trained embeddings before the input (Lester et al., EMNLP 2021), by the PEFT library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.method import Method, Params, Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn
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
    _segments: Tensor | None = None  # of the batch that is being looked at

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        return Recipe(
            learning_rate=3e-2,
            epochs=6,
            min_steps=100,
            chosen_by="not tuned: the first guess for PASTA, whose size it has",
        )

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        from peft import PromptTuningConfig, TaskType, get_peft_model

        from bench.modeling import backbone

        config = PromptTuningConfig(num_virtual_tokens=self.params.tokens, task_type=TaskType.FEATURE_EXTRACTION)
        encoder = backbone(model)
        prompted = get_peft_model(encoder, config)
        # PEFT's model for features drops the segment ids, its models for classification lengthen them. Without
        # them the two texts of a pair would look like one.
        prompted.register_forward_pre_hook(self._take_segments, with_kwargs=True)
        encoder.register_forward_pre_hook(self._give_segments, with_kwargs=True)
        prompted.register_forward_hook(self._drop_prompt)
        setattr(model, model.base_model_prefix, prompted)
        return model

    def _take_segments(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self._segments = kwargs.get("token_type_ids")
        return args, {name: value for name, value in kwargs.items() if name != "token_type_ids"}

    def _give_segments(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The text's own segments, behind zeros for the virtual tokens."""
        import torch

        if self._segments is None:
            return args, kwargs
        virtual = self._segments.new_zeros(len(self._segments), self.params.tokens)
        return args, {**kwargs, "token_type_ids": torch.cat([virtual, self._segments], dim=1)}

    def _drop_prompt(self, module: nn.Module, args: object, output: PreTrainedModel) -> PreTrainedModel:
        """Take the virtual tokens' own states off, so that a head for tokens sees the text's alone."""
        output.last_hidden_state = output.last_hidden_state[:, self.params.tokens :]
        return output

    def trainable_formula(self, config: PreTrainedConfig, task: TaskContext) -> int:
        return int(self.params.tokens * config.hidden_size)

    def starts_at_base(self) -> bool:
        return False
