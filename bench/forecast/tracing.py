"""A model on tensors without content, and the bytes of tensors that are live while it trains.

Under a FakeTensorMode, tensors have a shape and a device, and take no memory. A method is applied on the meta device,
where every method works; its tensors are replaced by fake ones afterwards, since libraries move modules about while
they adapt them, which the parameters of a fake mode do not survive.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def fill_meta(module: nn.Module, device: str) -> None:
    """Turn all meta tensors of a module into uninitialised ones on `device`, in place; fake under a FakeTensorMode.

    Among them are tensors that a part keeps as plain attributes, also within dictionaries, lists and tuples.
    """
    leaves = (leaf for part in module.modules() for leaf in tree_leaves(vars(part)))
    for tensor in {id(leaf): leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_meta}.values():
        empty = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=device)
        if isinstance(tensor, nn.Parameter):
            empty._is_param = True  # as nn.Parameter marks tensors of other classes, of which a fake one is
        torch.utils.swap_tensors(tensor, empty.requires_grad_(tensor.requires_grad))


class LiveBytes(TorchDispatchMode):
    """Context manager that follows the bytes of all tensors that operations return within it.

    A storage that has not been seen yet adds its bytes, and takes them away when it dies; views share their storage
    and add nothing. Python's references decide when a storage dies, as in a real step: what autograd saves lives until
    the backward pass has used it. Workspaces that an operation takes and returns within itself are not seen.

    live: bytes alive now. peak: the most since the start, or since `restart`. Works on real tensors and, entered after
    a FakeTensorMode, on fake ones, whose storages have the size that real ones would have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._seen: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def restart(self) -> None:
        """Forget the peak so far: it starts again from what is alive."""
        self.peak = self.live

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.add(leaf)
        return result

    def add(self, tensor: Tensor) -> None:
        """Follow a tensor that was there before; one that is followed already adds nothing."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes()

        def gone(_: Any) -> None:
            self.live -= size
            del self._seen[key]

        self._seen[key] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)
