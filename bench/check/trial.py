"""One method on one kind of task: applied, examined, trained for a few steps, examined again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from bench import profiles
from bench.check.encoder import Encoder, logits
from bench.grid import seeds
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.train import loop
from bench.train.adaptation import Adapted
from bench.train.data import Encoded
from bench.train.model import head_modules

SEED = 0
TRAINING_SEED = seeds.streams(SEED)[seeds.TRAINING]  # none that a plugin would use by itself
STEPS = 3  # LoRA's first matrix has no gradient before its second, which starts at zero, has moved
RECIPE = Recipe(learning_rate=1e-2, epochs=0.01, min_steps=STEPS, batch_size=4, chosen_by="the contract")
Parts = dict[str, tuple[nn.Module, type]]  # of a head, by name


@dataclass(frozen=True)
class Tensors:
    """Copies of a module's tensors by name: of the parameters that train, and of the others and the buffers."""

    trainable: dict[str, Tensor]
    frozen: dict[str, Tensor]

    @classmethod
    def of(cls, module: nn.Module) -> Tensors:
        parameters = list(module.named_parameters())
        frozen = [*((name, p) for name, p in parameters if not p.requires_grad), *module.named_buffers()]
        return cls(
            {name: p.detach().clone() for name, p in parameters if p.requires_grad},
            {name: tensor.detach().clone() for name, tensor in frozen},
        )


@dataclass(frozen=True)
class Applied:
    """A method just applied. Training the module changes none of the rest.

    logits: in evaluation mode. head_error, frozen_error: of what `apply` must not change. initial_seed: that of
    torch's global generator. hidden: shapes of tensors that a gradient reaches although they are no trainable
    parameter of the module.
    """

    adapted: Adapted
    logits: Tensor
    tensors: Tensors
    head_error: str | None
    frozen_error: str | None
    initial_seed: int
    hidden: list[tuple[int, ...]]


@dataclass(frozen=True)
class Trained:
    """The same module after STEPS steps."""

    module: nn.Module
    tensors: Tensors
    initial_seed: int


class Trial:
    """What the checks of a method examine; each part is made when it is first used, and once.

    Args:
        make: gives a new instance of the method.
        kind: one of `bench.check.examples.KINDS`.
    """

    def __init__(self, make: Callable[[], Method], kind: str, encoder: Encoder) -> None:
        self.make = make
        self.kind = kind
        self.encoder = encoder
        self.data = encoder.data(kind)

    def fresh(self, seed: int) -> Adapted:
        """A copy of the encoder with the method on it, in evaluation mode."""
        return self.encoder.adapted(self.make(), self.kind, seed)

    @cached_property
    def applied(self) -> Applied:
        model = self.encoder.model(self.kind)
        head, before = _head_parts(model), _tensors(model)
        adapted = self.encoder.adapted(self.make(), self.kind, SEED, model)
        initial_seed = torch.initial_seed()
        base, _ = self.encoder.base(self.kind, SEED)
        return Applied(
            adapted,
            logits(adapted.module, self.data),
            Tensors.of(adapted.module),
            next(_head_errors(model, adapted.module, base, head, before), None),
            next(_frozen_errors(base, head, before), None),
            initial_seed,
            _hidden(adapted.module, self.data),  # the last: it calls the module in train mode, which may do anything
        )

    @cached_property
    def trained(self) -> Trained:
        """The module of `applied` after a few steps of the harness's own loop, in evaluation mode."""
        adapted = self.applied.adapted
        torch.manual_seed(TRAINING_SEED)
        loop.train(adapted, self.data, RECIPE, profiles.load("cpu"), SEED)
        adapted.module.eval()
        return Trained(adapted.module, Tensors.of(adapted.module), torch.initial_seed())


# `base` is the same model without the method, its head drawn alike; `head` and `before` are the model's before `apply`.


def _head_errors(model: Any, adapted: nn.Module, base: Any, head: Parts, before: dict[str, Tensor]) -> Iterator[str]:
    now = _head_parts(model)
    for name in head | now:
        if now.get(name) != head.get(name):
            yield f"apply changed {name!r}, which belongs to the head"
    reached = {id(parameter) for parameter in adapted.parameters()}
    for name, expected in _tensors(base).items():
        if name.rpartition(".")[0] in head:
            if not torch.equal(before[name], expected):
                yield f"apply changed the values of the head's {name!r}"
            if isinstance(before[name], nn.Parameter) and id(before[name]) not in reached:
                yield f"the head's {name!r} is no parameter of the module that apply returns"


def _frozen_errors(base: Any, head: Parts, before: dict[str, Tensor]) -> Iterator[str]:
    for name, expected in _tensors(base).items():
        frozen = name.rpartition(".")[0] not in head and not before[name].requires_grad
        if frozen and not torch.equal(before[name], expected):
            yield f"apply changed {name!r}, which is pretrained and frozen"


def _head_parts(model: Any) -> Parts:
    """Every module of the head with its class: wrapping and replacing change one of them."""
    names = head_modules(model).keys()
    return {name: (part, type(part)) for name, part in model.named_modules() if name.split(".")[0] in names}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers; one that two modules share is there under both names."""
    parameters = module.named_parameters(remove_duplicate=False)
    return dict([*parameters, *module.named_buffers(remove_duplicate=False)])


def _hidden(module: nn.Module, data: Encoded) -> list[tuple[int, ...]]:
    """Shapes of the leaves of the loss's graph that are no trainable parameter of the module."""
    declared = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    batch = data.batch(range(len(data)))
    nodes: list[Any] = [loop.loss_sum(data.kind, module.train()(**batch.inputs).logits, batch.labels).grad_fn]
    module.eval()
    for node in nodes:  # grows in the loop
        nodes += {parent for parent, _ in node.next_functions if parent is not None} - set(nodes)
    leaves = [node.variable for node in nodes if hasattr(node, "variable")]  # of nodes that accumulate a gradient
    return [tuple(leaf.shape) for leaf in leaves if id(leaf) not in declared]
