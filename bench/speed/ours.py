"""This project's own loop with a method, called as a cell calls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.grid import seeds
from bench.measure.time import Timeline
from bench.plugins.recipe import Recipe, cheaper_masks
from bench.speed.contender import Call
from bench.speed.setting import BATCH, Setting
from bench.train.adaptation import adapt
from bench.train.data import Encoded
from bench.train.model import load_model

if TYPE_CHECKING:
    from torch import nn


class Ours:
    """`bench.train.loop.train`, as a cell calls it, with deterministic algorithms as the CPU profiles have it.

    The other contenders run with torch's defaults: what determinism costs is this loop's to bear.
    """

    def __init__(self, setting: Setting, spec: str, seed: int, dropout: float | None = None) -> None:
        from bench.train import kernels

        task = setting.task
        model = load_model(setting.files.model, task.kind, task.num_labels, dropout)
        adapted = adapt(model, setting.method(spec), setting.context, seeds.streams(seed))
        kernels.use(adapted.module, cheaper_masks("cpu"))
        self.module: nn.Module = adapted.module
        self._head = adapted.head

    def prepare(self, data: Encoded, recipe: Recipe, seed: int) -> Call:
        import torch

        from bench.train.loop import Placement, train

        stream = seeds.streams(seed)

        def call() -> Sequence[int]:
            torch.use_deterministic_algorithms(True)
            try:
                torch.manual_seed(stream[seeds.TRAINING])
                trained = train(
                    self.module,
                    data,
                    recipe,
                    Placement(micro_batch=BATCH),
                    seed=stream[seeds.DATA_ORDER],
                    head=self._head,
                    timeline=Timeline(),
                    report=lambda progress: None,
                )
            finally:
                torch.use_deterministic_algorithms(False)
            return [step.tokens for step in trained.steps]

        return call
