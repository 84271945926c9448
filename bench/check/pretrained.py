"""What a method must leave as it is: the task head, and every pretrained tensor that does not train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bench.train.model import head_modules

if TYPE_CHECKING:
    from torch import Tensor, nn


class Pretrained:
    """A model as it is before a method is applied, to tell afterwards what is no longer so."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._head_names = head_modules(model).keys()
        self._structure = self._head_structure()
        self._tensors = _tensors(model)

    def head_fault(self, adapted: nn.Module, base: Any) -> str | None:
        """How the head is not what it was; base: the same model without the method, its head drawn alike."""
        now = self._head_structure()
        for name in self._structure | now:
            if now.get(name) != self._structure.get(name):
                return f"apply has changed {name!r}, which is the head's"
        there, reached = _tensors(self._model), {id(parameter) for parameter in adapted.parameters()}
        for name, expected in _tensors(base).items():
            if self._is_head(name):
                if there.get(name) is not self._tensors[name]:
                    return f"apply has put another tensor in the place of the head's {name!r}"
                if not torch.equal(there[name], expected):
                    return f"apply has changed the values of the head's {name!r}"
                if isinstance(there[name], torch.nn.Parameter) and id(there[name]) not in reached:
                    return f"the head's {name!r} is no parameter of the module that apply returns"
        return None

    def frozen_fault(self, base: Any) -> str | None:
        """Which pretrained tensor was changed although it does not train."""
        for name, expected in _tensors(base).items():
            mine = self._tensors[name]
            if not self._is_head(name) and not mine.requires_grad and not torch.equal(mine, expected):
                return f"apply has changed {name!r}, which is pretrained and frozen"
        return None

    def _is_head(self, name: str) -> bool:
        return name.split(".")[0] in self._head_names

    def _head_structure(self) -> dict[str, tuple[nn.Module, type]]:
        modules = self._model.named_modules()
        return {name: (module, type(module)) for name, module in modules if self._is_head(name)}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers; one that two modules share stands there under both names."""
    parameters = module.named_parameters(remove_duplicate=False)
    return dict([*parameters, *module.named_buffers(remove_duplicate=False)])
