"""From a record's file to what the index keeps of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.errors import StoreError
from bench.records import store
from bench.records.predictions import Answers
from bench.stats.contributions import Floats

LONG = ("losses", "predictions", "references", "traceback")  # what is left in the record's file
SHARED = ("cell", "environment", "data", "recipe", "parameters", "seeds")  # what many records have alike


class Row(NamedTuple):
    """What the index keeps of one file. fault: what is wrong with it, after its path; then nothing else is known.

    rest: JSON of the record without LONG and SHARED. shared: JSON of each of SHARED. answers: test ("" is the test
    split), digests of predictions and of references, packed contributions.
    """

    name: str
    fault: str | None
    status: str | None = None
    total: float | None = None
    rest: str | None = None
    shared: tuple[str, ...] = ()
    answers: tuple[tuple[str, str, str, bytes | None], ...] = ()


def build(payload: tuple[Path, Sequence[str]], report: Any = None) -> list[Row]:
    """The rows of some files of a records folder; an executor's target."""
    folder, names = payload
    return [_row(folder / name) for name in names]


def _row(path: Path) -> Row:
    try:
        found = store.read_file(path)
    except StoreError as error:
        return Row(path.name, json.dumps(str(error).removeprefix(str(path))))
    long: dict[str, Any] = dict.fromkeys(LONG, True)
    long["extra_tests"] = {"__all__": {"predictions", "references"}}
    fields = found.model_dump(mode="json", exclude=long)
    fields["seed"] = fields["cell"].pop("seed")
    shared = tuple(json.dumps(fields.pop(name)) for name in SHARED)
    kept = []
    if found.status == "ok":
        for test in ("", *found.extra_tests):
            each = Answers(found.on(test) if test else found)
            kept.append((json.dumps(test), each.predictions, each.references, packed(each.contributions)))
    total = found.timeline.get("total")
    return Row(path.name, None, found.status, total, json.dumps(fields), shared, tuple(kept))


def packed(values: Floats | None) -> bytes | None:
    return None if values is None else zlib.compress(values.astype("<f8").tobytes(), 1)


def unpacked(packed: bytes | None) -> Floats | None:
    return None if packed is None else np.frombuffer(zlib.decompress(packed), dtype="<f8")
