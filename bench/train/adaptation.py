"""Puts a method on a model, saves what was trained, and puts a saved adapter on a model again."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from bench.errors import BenchError, PluginError, UsageError, first_error, first_line
from bench.grid import seeds
from bench.measure.parameters import ParameterCount, ParameterLedger
from bench.plugins.method import Method
from bench.plugins.registry import Registry
from bench.plugins.task import HeadPooling, TaskContext
from bench.train.model import head_parameters, init_head
from bench.train.pooling import add_dense_layer, pool, reads_last_token, remove_pooler

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

ABOUT = "adapter.json"


@dataclass(frozen=True)
class Adapted:
    """A model with a method applied: the module to call, the head's parameters, and the counts of parameters.

    pooling: "model" also where it says nothing, for token classification.
    """

    module: nn.Module
    head: list[nn.Parameter]
    parameters: ParameterCount
    pooling: HeadPooling = "model"


def adapt(model: PreTrainedModel, method: Method, task: TaskContext, cell_seeds: dict[str, int]) -> Adapted:
    """Freeze a model, draw its head, apply the method, and let the head train, on pooled states where asked for.

    The head is drawn first, from a seed of its own: at one seed all methods start from the same head.
    """
    import torch

    pooling = pooling_of(method, task)
    if pooling != "model":
        remove_pooler(model)
    if pooling == "cls-dense":
        add_dense_layer(model)
    init_head(model, cell_seeds[seeds.HEAD_INIT])
    model.requires_grad_(False)
    head = head_parameters(model)
    ledger = ParameterLedger(model, head)
    torch.manual_seed(cell_seeds[seeds.METHOD_INIT])
    module = method.apply(model, task)
    if not isinstance(module, torch.nn.Module):
        raise PluginError(f"apply of {method.name} returns {module!r}, not the module to call")
    if pooling != "model" or (task.kind != "token-classification" and reads_last_token(model)):
        pool(model, pooling)
    for parameter in head:
        parameter.requires_grad_(True)
    return Adapted(module, head, ledger.count(module), pooling)


def pooling_of(method: Method, task: TaskContext) -> HeadPooling:
    """How the head reads a text: as the method asks, else as the task's context says, as far as the model can."""
    if task.kind == "token-classification":
        return "model"
    asked = method.pooling() or task.pooling
    return "cls-dense" if asked == "model" and task.lacks_pooler else asked


def put_on_scale(adapted: Adapted, mean: float, std: float) -> bool:
    """Let a regression's head give std * output + mean from now on, by its last layer; False: that has no bias."""
    import torch

    head = {id(parameter) for parameter in adapted.head}
    linear = [module for module in adapted.module.modules() if isinstance(module, torch.nn.Linear)]
    layers = [each for each in linear if id(each.weight) in head and each.out_features == 1]
    if not layers or layers[-1].bias is None:
        return False
    with torch.no_grad():
        layers[-1].weight.mul_(std)
        layers[-1].bias.mul_(std).add_(mean)
    return True


def write(method: Method, adapted: Adapted, folder: Path) -> int:
    """Write what was trained, head included, into a new folder, and give its size in bytes."""
    method.save(adapted.module, folder)
    if adapted.pooling != "model":
        about = folder / ABOUT
        said = json.loads(about.read_bytes()) if about.is_file() else {}  # a plugin's own format may have none
        text = json.dumps({**said, "pooling": adapted.pooling}, indent=2)
        about.write_text(text + "\n", encoding="utf-8")
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def saved_bytes(method: Method, adapted: Adapted) -> int:
    """The size of what `write` writes."""
    with tempfile.TemporaryDirectory() as temporary:
        return write(method, adapted, Path(temporary) / "adapter")


class SavedAdapter(BaseModel):
    """What every `adapter.json` says; a method may write more. pooling: said where it is not the model's own."""

    method: str
    params: dict[str, Any]
    pooling: HeadPooling = "model"


def saved_method(folder: Path, methods: Registry[Method]) -> Method:
    """The method that an adapter was trained with, with its parameters.

    Raises:
        UsageError: if the folder holds no adapter, or one of an unknown method or with wrong parameters.
    """
    file = folder / ABOUT
    try:
        saved = SavedAdapter.model_validate_json(file.read_bytes())
        plugin = methods.get(saved.method).plugin
        return plugin(plugin.Params(**saved.params))
    except OSError as error:
        raise UsageError(
            f"{folder} is not an adapter: {file.name} cannot be read ({error.strerror}). "
            "`run --keep-adapters` saves adapters under RESULTS/adapters."
        ) from None
    except ValidationError as error:
        raise UsageError(f"{file} does not describe an adapter: {': '.join(first_error(error))}.") from None
    except BenchError as error:
        raise UsageError(f"{file}: {error}") from None


def restore(model: PreTrainedModel, method: Method, folder: Path, task: TaskContext) -> nn.Module:
    """Put a saved adapter on a model, in place, and return the module to call.

    Raises:
        UsageError: if it does not fit: it was trained on another model, for another kind of task, or is damaged.
    """
    from safetensors import SafetensorError

    try:
        pooling = SavedAdapter.model_validate_json((folder / ABOUT).read_bytes()).pooling
        context = replace(task, pooling=pooling, lacks_pooler=pooling == "cls-dense")
        module = adapt(model, method, context, seeds.streams(0)).module
        method.load(module, folder)
    except (BenchError, OSError, ValueError, SafetensorError) as error:
        raise UsageError(f"This adapter cannot be put on this model and task. {first_line(error)}") from None
    return module
