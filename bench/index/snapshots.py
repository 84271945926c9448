"""From what the index keeps back to records, whose long parts are read from their files when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel, PrivateAttr

from bench.errors import StoreError
from bench.grid.cell import Cell
from bench.index.rows import LONG, SHARED, unpacked
from bench.plugins.recipe import Recipe
from bench.records.predictions import Answers, answers_of
from bench.records.record import Data, ExtraTest, Memory, Parameters, Record, Speed
from bench.records.store import Store

MODELS: dict[str, type[BaseModel]] = {"data": Data, "recipe": Recipe, "parameters": Parameters}
BLOCK = 1_000  # rows that are made into records at a time

M = TypeVar("M", bound=BaseModel)


class Source(Protocol):
    """Where a snapshot comes from: an index."""

    store: Store

    def answers(self, id: str, test: str) -> Answers | None: ...


class Indexed(Record):
    """A record from the index: a snapshot whose LONG parts are read from its file when they are asked for.

    Raises, where that is no longer possible: StoreError.
    """

    _index: Any = PrivateAttr(None)
    _test: str = PrivateAttr("")  # an extra test that stands in for the test split

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return getattr(self.whole(), name) if name in LONG else super().__getattr__(name)

    def __eq__(self, other: object) -> bool:
        return self.whole() == (other.whole() if isinstance(other, Indexed) else other)

    __hash__ = None  # type: ignore[assignment]  # as every record

    def whole(self) -> Record:
        """All of it, from its file."""
        index: Source = self._index
        found = index.store.read(self.id)
        if found is None or found.finished_at != self.finished_at:
            raise StoreError(f"{index.store.path(self.id)} has changed since it was looked at; do that again.")
        return found.on(self._test) if self._test else found

    def on(self, extra_test: str) -> Record:
        found = self.extra_tests.get(extra_test)
        cell = {**self.cell.__dict__, "task": f"{self.cell.task}/{extra_test}"}
        fields = {
            **self.__dict__,
            "cell": _made(Cell, cell),
            "extra_tests": {},
            "scores": found.scores if found else {},
            "constant_score": found.constant_score if found else None,
        }
        return _made(Indexed, fields, {"_index": self._index, "_test": extra_test})

    def to_json(self) -> str:
        return self.whole().to_json()

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return self.whole().model_dump(**options)


class IndexedExtraTest(ExtraTest):
    """An extra test of an `Indexed`, whose answers are read from the record's file when they are asked for."""

    _of: Any = PrivateAttr(None)  # the index, the record's id, the test's name

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name not in ("predictions", "references"):
                return super().__getattr__(name)
            index, id, test = self._of
            whole = index.store.read(id)
            if whole is None or test not in whole.extra_tests:
                raise StoreError(f"{index.store.path(id)} has changed since it was looked at; do that again.")
            return getattr(whole.extra_tests[test], name)


class KeptAnswers(Answers):
    """Answers that were worked out before."""

    def __init__(self, predictions: str, references: str, packed: bytes | None) -> None:
        self.__dict__.update(predictions=predictions, references=references, contributions=unpacked(packed))


@answers_of.register
def _(record: Indexed) -> Answers:
    index: Source = record._index
    return index.answers(record.id, record._test) or Answers(record.whole())


class Reader:
    """Makes records of the index's rows; what they share is one object, as a hundred thousand would not fit else.

    shared: JSON of what records share, by the number that stands for it in their rows.
    """

    def __init__(self, index: Source, shared: dict[int, str]) -> None:
        self._index, self._texts = index, shared
        self._made: dict[tuple[str, int], Any] = {}
        self._parts: dict[Any, Any] = {}
        self._private = {"_index": index, "_test": ""}

    def records(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[Record]:
        rows = iter(rows)
        while block := list(islice(rows, BLOCK)):
            # Together, since the keys of one text are the same objects throughout.
            texts = json.loads(f"[{','.join(rest for rest, *_ in block)}]")
            for fields, (_, *ids) in zip(texts, block, strict=True):
                yield self._record(fields, dict(zip(SHARED, ids, strict=True)))

    def _record(self, fields: dict[str, Any], ids: dict[str, int]) -> Record:
        seed = fields.pop("seed")
        fields["cell"] = _made(Cell, {**self._shared("cell", ids["cell"]), "seed": seed})
        for name in SHARED[1:]:
            fields[name] = self._shared(name, ids[name])
        for name, model in (("memory", Memory), ("speed", Speed)):
            if fields[name] is not None:
                fields[name] = _made(model, fields[name])
        fields["extra_tests"] = {
            test: _made(IndexedExtraTest, found, {"_of": (self._index, fields["id"], test)})
            for test, found in fields["extra_tests"].items()
        }
        return _made(Indexed, fields, self._private)

    def _shared(self, name: str, id: int) -> Any:
        if (name, id) not in self._made:
            value = json.loads(self._texts[id])
            if name == "cell":
                value = Cell(**value, seed=0).__dict__
                for part in ("profile", "budget"):  # fewer than there are rows
                    value[part] = self._parts.setdefault(value[part], value[part])
            elif value is not None and name in MODELS:
                value = MODELS[name](**value)
            self._made[name, id] = value
        return self._made[name, id]


def _made(model: type[M], fields: dict[str, Any], private: dict[str, Any] | None = None) -> M:
    """An object of these fields, which were validated before: as if it came out of a pickle."""
    made = model.__new__(model)
    made.__setstate__(
        {
            "__dict__": fields,
            "__pydantic_fields_set__": _names(model),
            "__pydantic_extra__": None,
            "__pydantic_private__": private,
        }
    )
    return made


@cache
def _names(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)
