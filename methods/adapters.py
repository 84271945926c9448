"""Bottleneck adapters in each layer (Houlsby et al., ICML 2019; Pfeiffer et al., EMNLP 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.errors import NotApplicable
from bench.plugins.method import Method, Params
from bench.plugins.recipe import Recipe
from bench.plugins.search_space import rates

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.plugins.task import TaskContext

# Families whose layers are BERT's: attention.output and output, each dense, dropout, then LayerNorm(. + input).
FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "electra")


class AdaptersParams(Params):
    """placement: whose. bottleneck: width m. layer_norms: whether those of the model train; None: as the placement's
    authors do, that is with houlsby and not with pfeiffer.
    """

    placement: Literal["houlsby", "pfeiffer"] = "houlsby"
    bottleneck: int = Field(64, ge=1)
    layer_norms: bool | None = None


class Adapters(Method):
    """After a sublayer, or two, of each layer: A(x) = W_up f(W_down x + b_down) + b_up.

    houlsby (figure 2 of the paper): after the attention and after the feed-forward sublayer, on the sublayer's
    output h, before it is added to its input x and normalised: LN(h + A(h) + x), f = GELU. All layer norms of
    the backbone train as well, that of the embeddings included, as in the authors' code
    (github.com/google-research/adapter-bert). pfeiffer (MAD-X, section 3.2.1): after the feed-forward sublayer
    alone, on what is normalised, with the sublayer's output as the residual, and normalised again:
    LN(h + A(LN(h + x)) + x), f = ReLU, layer norms frozen.

    Weights are drawn from a normal distribution of standard deviation 1e-3, truncated at two, biases are zero,
    as in Houlsby's code: the model starts nearly, but not quite, as the base model.
    """

    name = "adapters"
    summary = "bottlenecks after the attention and feed-forward sublayers of each layer"
    paper = "Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019, arXiv 1902.00751"
    Params = AdaptersParams
    space = rates(1e-4, 1e-2)

    def recipe(self, task: TaskContext, config: PreTrainedConfig) -> Recipe:
        return Recipe(
            learning_rate=1e-3,
            epochs=3,
            min_steps=100,
            chosen_by="not tuned: a first guess amid the 3e-5 to 3e-3 that Houlsby et al. searched",
        )

    def apply(self, model: PreTrainedModel, task: TaskContext) -> nn.Module:
        from torch import nn

        from bench.train.model import backbone
        from methods._bottleneck import after_norm, after_sublayer

        config, params = model.config, self.params
        if config.model_type not in FAMILIES:
            raise NotApplicable(
                f"adapters do not know the model family {config.model_type!r}; they know: {', '.join(FAMILIES)}."
            )
        encoder: Any = backbone(model)
        for layer in encoder.encoder.layer:
            if params.placement == "houlsby":
                after_sublayer(layer.attention.output.dropout, config.hidden_size, params.bottleneck)
                after_sublayer(layer.output.dropout, config.hidden_size, params.bottleneck)
            else:
                after_norm(layer.output.LayerNorm, config.hidden_size, params.bottleneck)
        if self._trains_norms():
            for part in encoder.modules():
                if isinstance(part, nn.LayerNorm):
                    for parameter in part.parameters(recurse=False):
                        parameter.requires_grad_(True)
        return model

    def _trains_norms(self) -> bool:
        given: bool | None = self.params.layer_norms
        return self.params.placement == "houlsby" if given is None else given

    def trainable_formula(self, config: PreTrainedConfig, task: TaskContext) -> int | None:
        """2 m d + d + m for each adapter (section 2.1), and a scale and a shift for each layer norm."""
        if config.model_type not in FAMILIES:
            return None
        d, m, layers = config.hidden_size, self.params.bottleneck, config.num_hidden_layers
        adapters = layers * (2 if self.params.placement == "houlsby" else 1)
        embedded = getattr(config, "embedding_size", d)  # ELECTRA's may be narrower
        norms = 2 * (2 * layers * d + embedded) if self._trains_norms() else 0
        return int(adapters * (2 * m * d + d + m) + norms)

    def starts_at_base(self) -> bool:
        return False
