"""Where and how a model runs, as a hardware profile says."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from bench.profiles import Profile


@dataclass(frozen=True)
class Placement:
    """Where and how a model runs.

    autocast: the dtype of mixed precision; None: float32 throughout. micro_batch: most examples in one forward and
    backward pass; the gradients of a larger batch are accumulated. eval_batch: examples in a forward pass of an
    evaluation.
    """

    device: str = "cpu"
    autocast: torch.dtype | None = None
    micro_batch: int = 32
    eval_batch: int = 128

    @classmethod
    def of(cls, profile: Profile) -> Placement:
        autocast = None if profile.dtype == "float32" else getattr(torch, profile.dtype)
        return cls(profile.device, autocast, profile.micro_batch_size, profile.eval_batch_size)

    def precision(self) -> AbstractContextManager[object]:
        """The context in which the model is called."""
        return torch.autocast(self.device, self.autocast) if self.autocast else nullcontext()
