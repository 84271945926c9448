"""A bottleneck adapter, and the two places where it goes: torch modules that `methods.adapters` attaches.

The adapter becomes a part of a module of the base model, whose forward hook applies it. No parameter of the
base model changes its name, and a copy of the model has its own adapters.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

STD = 1e-3  # init_scale of Houlsby et al.'s code


class Bottleneck(nn.Module):
    """[..., hidden] -> [..., hidden]: down, non-linearity, up; without the residual."""

    def __init__(self, hidden: int, bottleneck: int, activation: nn.Module) -> None:
        super().__init__()
        self.down = nn.Linear(hidden, bottleneck)
        self.activation = activation
        self.up = nn.Linear(bottleneck, hidden)
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=STD, a=-2 * STD, b=2 * STD)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.up(self.activation(self.down(hidden)))


def after_sublayer(dropout: nn.Module, hidden: int, bottleneck: int) -> None:
    """After a sublayer's dropout, before its output is added to its input: h becomes h + A(h)."""
    # Houlsby et al.'s code has the approximation of GELU by tanh.
    dropout.adapter = Bottleneck(hidden, bottleneck, nn.GELU(approximate="tanh"))
    dropout.register_forward_hook(_add)


def after_norm(norm: nn.Module, hidden: int, bottleneck: int) -> None:
    """After a sublayer's layer norm: with z what is normalised, LN(z) becomes LN(z + A(LN(z)))."""
    norm.adapter = Bottleneck(hidden, bottleneck, nn.ReLU())
    norm.register_forward_hook(_add_and_normalise_again)


def _add(module: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + module.adapter(output)


def _add_and_normalise_again(module: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    # forward, and not a call, which would come here again
    again: Tensor = module.forward(args[0] + module.adapter(output))
    return again
