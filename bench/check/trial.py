"""One method on one kind of task: applied, looked at, trained for a few steps, looked at again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from bench.check.encoder import Encoder, logits
from bench.check.pretrained import Pretrained
from bench.grid import seeds
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.train import loop
from bench.train.adaptation import Adapted
from bench.train.data import Encoded
from bench.train.placement import Placement

SEED = 0
TRAINING_SEED = seeds.streams(SEED)[seeds.TRAINING]  # none that a plugin would think of
STEPS = 3  # LoRA's first matrix has no gradient before its second, which starts at zero, has moved
RECIPE = Recipe(learning_rate=1e-2, epochs=0.01, min_steps=STEPS, batch_size=4, chosen_by="the contract")


@dataclass(frozen=True)
class Tensors:
    """Copies of a module's parameters and buffers by name, those that train apart."""

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
    """A method just applied, before any training. Training the module changes none of the rest.

    logits: in evaluation mode. head_fault and frozen_fault: what is no longer as it was, as a sentence.
    initial_seed: that of torch's global generator. hidden: shapes of tensors that a gradient reaches although
    they are no trainable parameter of the module.
    """

    adapted: Adapted
    logits: Tensor
    tensors: Tensors
    head_fault: str | None
    frozen_fault: str | None
    initial_seed: int
    hidden: list[tuple[int, ...]]


@dataclass(frozen=True)
class Trained:
    """The same module after STEPS steps. gradients: the largest of each trainable tensor over all steps, by name."""

    module: nn.Module
    tensors: Tensors
    gradients: dict[str, float]
    initial_seed: int


class Trial:
    """What the clauses look at; each part is made when it is first asked for, and once.

    Args:
        make: gives a new instance of the method.
        kind: one of `bench.check.examples.KINDS`.
    """

    def __init__(self, make: Callable[[], Method], kind: str, encoder: Encoder) -> None:
        self.make = make
        self.kind = kind
        self.encoder = encoder

    @property
    def data(self) -> Encoded:
        return self.encoder.data(self.kind)

    def fresh(self, seed: int) -> Adapted:
        """A copy of the encoder of its own with the method on it, in evaluation mode."""
        return self.encoder.adapted(self.make(), self.kind, seed)

    @cached_property
    def applied(self) -> Applied:
        model = self.encoder.model(self.kind)
        before = Pretrained(model)
        adapted = self.encoder.adapted(self.make(), self.kind, SEED, model)
        initial_seed = torch.initial_seed()
        base, _ = self.encoder.base(self.kind, SEED)
        return Applied(
            adapted,
            logits(adapted.module, self.data),
            Tensors.of(adapted.module),
            before.head_fault(adapted.module, base),
            before.frozen_fault(base),
            initial_seed,
            _hidden(adapted.module, self.data),  # the last: it calls the module in train mode, which may do anything
        )

    @cached_property
    def trained(self) -> Trained:
        """The module of `applied` after a few steps of the harness's own loop, in evaluation mode."""
        adapted = self.applied.adapted
        trainable = {name: p for name, p in adapted.module.named_parameters() if p.requires_grad}
        gradients = dict.fromkeys(trainable, 0.0)

        def watch(name: str, parameter: Tensor) -> None:
            assert parameter.grad is not None
            gradients[name] = max(gradients[name], float(parameter.grad.abs().max()))

        hooks = [p.register_post_accumulate_grad_hook(partial(watch, name)) for name, p in trainable.items()]
        torch.manual_seed(TRAINING_SEED)
        loop.train(adapted, self.data, RECIPE, Placement(), SEED)
        initial_seed = torch.initial_seed()
        for hook in hooks:
            hook.remove()
        adapted.module.eval()
        return Trained(adapted.module, Tensors.of(adapted.module), gradients, initial_seed)


def _hidden(module: nn.Module, data: Encoded) -> list[tuple[int, ...]]:
    """Shapes of the leaves of the loss's graph that are no trainable parameter of the module."""
    declared = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    module.train()
    batch = data.batch(range(len(data)))
    loss = loop.loss_sum(data.kind, module(**batch.inputs).logits, batch.labels)
    module.eval()
    found: list[tuple[int, ...]] = []
    seen, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)  # what accumulates a gradient has one
        if leaf is not None and id(leaf) not in declared:
            found.append(tuple(leaf.shape))
        waiting.extend(parent for parent, _ in node.next_functions)
    return found
