"""PASTA: one trained vector per special token and layer (Yang et al., EACL 2023, arXiv 2210.04382).

The class `Pasta` is the harness's plugin. `attach`, `save`, `load`, `use` and `names` put PASTA on a model of
your own; see `methods.pasta.adapter`.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.plugins import Method, NotApplicable, Recipe, TaskContext, rates
from methods.pasta.params import PastaParams, layout

if TYPE_CHECKING:
    from methods.pasta.adapter import attach, load, names, save, use

__all__ = ["Pasta", "PastaParams", "attach", "load", "names", "save", "use"]


def __getattr__(name: str) -> Any:
    """The functions for your own models, imported on demand: plugins are listed without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("methods.pasta.adapter"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class Pasta(Method):
    """One vector per special-token slot and layer; see `methods.pasta.attachment` for the equation."""

    name = "pasta"
    summary = "one trained vector per special token and layer, added before self-attention"
    paper = "Yang et al., Parameter-Efficient Tuning with Special Token Adaptation, EACL 2023, arXiv 2210.04382"
    Params = PastaParams
    space = rates(
        2.5e-4,
        6.3e-2,
        source="the authors' code: 2.5e-4 (MRPC, BERT-large) to 3e-3 (CoNLL2003)",
        published=(2.5e-4, 3e-3),
    )

    def recipe(self, task: TaskContext, config: Any) -> Recipe:
        return Recipe(
            learning_rate=3e-2,
            epochs=6,
            min_steps=100,
            # So few parameters underfit: without dropout the loss falls further, and validation is no worse.
            dropout=0.0,
            adam_epsilon=1e-6,  # as in the authors' code
            chosen_by="this project, rt-polarity validation, seed 0, 13 trials",
        )

    def apply(self, model: Any, task: TaskContext) -> Any:
        from methods.pasta.adapter import add

        try:
            return add(model, task.template, self.params)
        except ValueError as error:  # another model family, or a layer that this one does not have
            raise NotApplicable(str(error)) from None

    def trainable_formula(self, config: Any, task: TaskContext) -> int:
        return layout(self.params, config, task.template).count

    def starts_at_base(self) -> bool:
        return self.params.init_std == 0

    def save(self, model: Any, folder: Path) -> None:
        from methods.pasta.adapter import save

        save(model, folder)

    def load(self, model: Any, folder: Path) -> None:
        from methods.pasta.adapter import load

        load(model, folder)
