"""Whether a loaded encoder's weights are those of its files.

transformers draws what it does not find in a file at random, and says so in a report, but there are models whose
report is clean and whose weights are random. So the values are compared: names may differ, as transformers renames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import SourceError

if TYPE_CHECKING:
    from torch import Tensor, nn

SAMPLE = 64  # values of a tensor that are compared


def require_readable(folder: Path) -> None:
    """Refuse a folder without safetensors files, or with one that is damaged. Raises SourceError."""
    if not sum(1 for _ in _files(folder)):
        raise SourceError(
            f"The encoder in {folder} cannot be loaded: there is no *.safetensors file, and others (pytorch_model.bin) "
            "can run code; convert one that you trust: AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER)."
        )


def require_from_files(backbone: nn.Module, folder: Path) -> None:
    """Refuse a backbone with a weight that is not in the folder's safetensors files.

    A pooler that no file has is allowed: no head reads it, see `bench.train.pooling`.

    Raises:
        SourceError: naming the first of these weights, and what to do.
    """
    missing = drawn(backbone, folder)
    weights = missing if names_pooler(folder) else [name for name in missing if not name.startswith("pooler.")]
    if weights:
        total = sum(1 for _ in backbone.parameters())
        raise SourceError(
            f"The encoder in {folder} cannot be used: {len(weights)} of its {total} weights are not in its files and "
            f"would be random, first {weights[0]}. The files must name tensors as {type(backbone).__name__} does."
        )


def names_pooler(folder: Path) -> bool:
    """Whether the folder's safetensors files hold a tensor of a pooler."""
    return any("pooler." in name for tensors in _files(folder) for name in tensors.keys())  # noqa: SIM118


def drawn(backbone: nn.Module, folder: Path) -> list[str]:
    """The names of the parameters whose values are in none of the folder's safetensors files."""
    last, first = set(), set()  # samples of the tensors' last rows, with their shapes, and of their first rows
    for tensors in _files(folder):
        for name in tensors.keys():  # noqa: SIM118 - it is no dictionary
            rows = tensors.get_slice(name)
            shape = tuple(rows.get_shape())
            if shape and 0 not in shape:
                last.add((shape, _sample(rows[shape[0] - 1 :])))
                first.add(_sample(rows[: -(-SAMPLE // math.prod(shape[1:]))]))

    def is_there(parameter: Tensor) -> bool:
        # transformers stacks the matrices of a mixture's experts: [experts, rows, columns].
        stacked = parameter.dim() == 3 and _sample(parameter[-1]) in first
        return stacked or (tuple(parameter.shape), _sample(parameter[-1:])) in last

    found = ((name, parameter.detach()) for name, parameter in backbone.named_parameters() if parameter.numel())
    return [name for name, parameter in found if not is_there(parameter)]


def _files(folder: Path) -> Iterator[Any]:
    """The folder's safetensors files, open. Raises SourceError for one that is damaged."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            found = safe_open(str(file), framework="pt")
        except (SafetensorError, OSError) as error:
            raise SourceError(
                f"The encoder in {folder} cannot be loaded: {file.name} is damaged or incomplete ({error}), or stands "
                "for a file that Git LFS has not fetched (git lfs pull); copy or download it again."
            ) from None
        with found as tensors:
            yield tensors


def _sample(rows: Tensor) -> bytes:
    """The first values; of a last row, as the first one of an embedding may be the padding token's, which is zero."""
    return rows.flatten()[:SAMPLE].float().numpy().tobytes()
