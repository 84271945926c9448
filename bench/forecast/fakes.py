"""A model on fake tensors: it computes shapes and nothing else, and takes no memory on the device it claims to be on.

A method is applied on the meta device, where every method works, and then what it left is put on the fake one:
libraries move modules about while they adapt them, which parameters of a fake mode do not survive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

# What torch keeps in a module beside its own tensors and parts; hooks are functions and hold none.
_TORCHS = frozenset({"_parameters", "_buffers", "_modules"})


def replaced(module: nn.Module, device: str) -> dict[int, Tensor]:
    """Put empty tensors on `device` in the place of all meta tensors of a module, in place.

    Call it under a FakeTensorMode for fake tensors; without one they are real, and hold whatever there was. A tensor
    that stands in several places is replaced by one. Parameters and buffers are replaced, and tensors that a part
    keeps as plain attributes, also within dictionaries, lists and tuples.

    Returns:
        The new tensors by the old ones' ids; the old ones must be kept alive for as long as that is used.
    """
    import torch
    from torch import nn

    new: dict[int, Tensor] = {}

    def swap(old: Tensor) -> Tensor:
        if not old.is_meta:
            return old
        if id(old) not in new:
            empty = torch.empty_strided(old.size(), old.stride(), dtype=old.dtype, device=device)
            is_parameter = isinstance(old, nn.Parameter)
            new[id(old)] = nn.Parameter(empty, requires_grad=old.requires_grad) if is_parameter else empty
        return new[id(old)]

    olds = [*module.parameters(), *module.buffers()]  # alive to the end, so that no id is used twice
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = swap(tensor)  # type: ignore[assignment]
        attributes = vars(part)
        for name in attributes.keys() - _TORCHS:
            attributes[name] = _within(attributes[name], swap)
    del olds
    return new


def _within(value: Any, swap: Callable[[Tensor], Tensor]) -> Any:
    """The value, with the tensors in it swapped; other objects are left alone, and looked into no further."""
    import torch

    if isinstance(value, torch.Tensor):
        return swap(value)
    if type(value) is dict:  # a subclass may have a form of its own
        for key, each in value.items():
            value[key] = _within(each, swap)
        return value
    if type(value) is list:
        value[:] = [_within(each, swap) for each in value]
        return value
    return tuple(_within(each, swap) for each in value) if type(value) is tuple else value
