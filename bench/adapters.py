"""Saved adapters: from the folder that `Method.save` wrote back to an adapted model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import BenchError, UsageError
from bench.grid import seeds
from bench.plugins.method import Method
from bench.plugins.registry import Registry
from bench.plugins.task import TaskContext
from bench.train.adaptation import adapt

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class SavedAdapter(BaseModel):
    """What every `adapter.json` says; a method may have written more."""

    model_config = ConfigDict(extra="allow")

    method: str
    params: dict[str, Any]


def read_method(folder: Path, methods: Registry[Method]) -> Method:
    """The method that an adapter was trained by, with the parameters it had.

    Raises:
        UsageError: if the folder holds no adapter, or one of a method or with parameters that there are none of.
    """
    file = folder / "adapter.json"
    if not folder.is_dir():
        raise UsageError(
            f"There is no adapter folder {folder}; `run --keep-adapters` leaves them under RESULTS/adapters."
        )
    try:
        saved = SavedAdapter.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{folder} is not an adapter: {file.name} cannot be read ({error.strerror}).") from None
    except (UnicodeDecodeError, ValidationError) as error:
        raise UsageError(f"{file} does not describe an adapter: {_fault(error)}.") from None
    try:
        plugin = methods.get(saved.method).plugin
        return plugin(plugin.Params(**saved.params))
    except ValidationError as error:
        raise UsageError(f"{file}: {saved.method} cannot have these parameters: {_fault(error)}.") from None
    except BenchError as error:
        raise UsageError(f"{file}: {error}") from None


def restore(model: PreTrainedModel, method: Method, folder: Path, task: TaskContext) -> nn.Module:
    """Put a saved adapter on a model, in place, and return the module to call.

    Raises:
        UsageError: if it does not fit: it was trained on another model, for another kind of task, or is damaged.
    """
    from safetensors import SafetensorError

    try:
        module = adapt(model, method, task, seeds.streams(0)).module
        method.load(module, folder)
    except (BenchError, OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise UsageError(f"This adapter cannot be put on this model and task. {reason[0]}") from None
    return module


def _fault(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])
