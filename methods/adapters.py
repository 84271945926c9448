"""Bottleneck adapters in each layer (Houlsby et al., ICML 2019; Pfeiffer et al., EMNLP 2020)."""

from collections import OrderedDict
from typing import Any, Literal

from pydantic import Field

from bench.plugins import Method, NotApplicable, Params, Recipe, TaskContext, rates

# Families whose layers are BERT's: attention.output and output, each dense, dropout, then LayerNorm(. + input).
FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "electra")
STD = 1e-3  # init_scale of Houlsby et al.'s code


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
    space = rates(3e-5, 7.5e-3, source="Houlsby et al., GLUE: 3e-5 to 3e-3", published=(3e-5, 3e-3))

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        return Recipe(
            learning_rate=1e-3,
            epochs=3,
            min_steps=100,
            chosen_by="not tuned: a first guess amid the 3e-5 to 3e-3 that Houlsby et al. searched",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        """Attach each adapter to a module of the base model, whose forward hook applies it.

        So no parameter of the base model changes its name, and a copy of the model has its own adapters.
        """
        from torch import nn

        if model.config.model_type not in FAMILIES:
            raise NotApplicable(
                f"adapters do not know the model family {model.config.model_type!r}; they know: {', '.join(FAMILIES)}."
            )
        for layer in model.base_model.encoder.layer:
            if self.params.placement == "houlsby":
                for dropout in (layer.attention.output.dropout, layer.output.dropout):
                    # Houlsby et al.'s code approximates GELU by tanh.
                    dropout.adapter = self._adapter(model.config.hidden_size, nn.GELU(approximate="tanh"))
                    dropout.register_forward_hook(_add)
            else:
                norm = layer.output.LayerNorm
                norm.adapter = self._adapter(model.config.hidden_size, nn.ReLU())
                norm.register_forward_hook(_add_and_normalise_again)
        if self._trains_norms():
            for part in model.base_model.modules():
                if isinstance(part, nn.LayerNorm):
                    part.requires_grad_(True)
        return model

    def _adapter(self, hidden: int, activation: Any) -> Any:
        """[..., hidden] -> [..., hidden]: down, non-linearity, up; without the residual."""
        from torch import nn

        down, up = nn.Linear(hidden, self.params.bottleneck), nn.Linear(self.params.bottleneck, hidden)
        for linear in (down, up):
            nn.init.trunc_normal_(linear.weight, std=STD, a=-2 * STD, b=2 * STD)
            nn.init.zeros_(linear.bias)
        return nn.Sequential(OrderedDict(down=down, activation=activation, up=up))

    def _trains_norms(self) -> bool:
        given: bool | None = self.params.layer_norms
        return self.params.placement == "houlsby" if given is None else given

    def trainable_formula(self, config: Any, task: TaskContext) -> int | None:
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


def _add(module: Any, args: Any, output: Any) -> Any:
    """After a sublayer's dropout: h becomes h + A(h)."""
    return output + module.adapter(output)


def _add_and_normalise_again(module: Any, args: Any, output: Any) -> Any:
    """After a sublayer's layer norm: with z what is normalised, LN(z) becomes LN(z + A(LN(z)))."""
    return module.forward(args[0] + module.adapter(output))  # not a call, which would come here again
