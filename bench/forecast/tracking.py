"""How many bytes of tensors are alive, and the most that ever were.

Every operation that torch dispatches passes through here. What it returns lies in storages; one that has not been
seen yet adds its bytes, and takes them away when it dies. Views share their storage and add nothing. Python's
references decide when that is, as they do in a real step: what autograd saves for the backward pass lives until
the backward pass has used it. torch.distributed's MemTracker does the same for whole modules, and more, with hooks
that a loop of one's own cannot go through.

What is not seen: workspaces that an operation takes and returns within itself.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.forecast.heap import Heap


class LiveBytes(TorchDispatchMode):
    """Context manager that follows the bytes of all tensors that operations return within it.

    live: bytes alive now. peak: the most since the start, or since `restart`. heap: where it is set, it is told of
    what is taken from then on, and when that is freed. Works on real tensors and, entered
    after a FakeTensorMode, on fake ones, whose storages have the size that real ones would have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self.heap: Heap | None = None
        self._serial = 0
        self._seen: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def restart(self) -> None:
        """Forget the peak so far: it starts again from what is alive."""
        self.peak = self.live

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return result

    def add(self, tensor: torch.Tensor) -> None:
        """Follow a tensor that was there before; one that is followed already adds nothing."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        size, heap = storage.nbytes(), self.heap
        self._serial += 1
        serial = self._serial

        def gone(_: Any) -> None:
            self.live -= size
            del self._seen[key]
            if heap is not None:
                heap.free(serial)

        if heap is not None:
            heap.take(serial, size)

        self._seen[key] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)
