"""Long lists in little memory, so that ten thousand records fit: a Python list takes 8 to 32 bytes a number."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema, from_json, to_json

T = TypeVar("T")


class PackedList(Sequence[T]):
    """An immutable list. Integers or floats are held as an array, anything else as JSON.

    Two of them are equal if they hold the same values of the same types, to the bit.
    """

    __slots__ = ("_packed",)

    def __init__(self, values: Iterable[T] = ()) -> None:
        self._packed = _pack(list(values))

    def _values(self) -> list[T]:
        found: list[T] = self._packed.tolist() if isinstance(self._packed, array) else from_json(self._packed)
        return found

    def __iter__(self) -> Iterator[T]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._packed if isinstance(self._packed, array) else self._values())

    def __getitem__(self, at: Any) -> Any:
        found = self._packed[at] if isinstance(self._packed, array) else self._values()[at]
        return found.tolist() if isinstance(found, array) else found

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, PackedList) else self._values() == other

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"PackedList({self._values()!r})"

    def _key(self) -> tuple[str, bytes]:
        packed = self._packed
        return (packed.typecode, packed.tobytes()) if isinstance(packed, array) else ("", packed)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validated and written as the list that it stands for."""
        values = handler(list[get_args(source)[0]])  # type: ignore[misc]
        return core_schema.no_info_after_validator_function(
            cls, values, serialization=core_schema.plain_serializer_function_ser_schema(list, return_schema=values)
        )


def _pack(values: list[Any]) -> array[Any] | bytes:
    kinds = set(map(type, values))
    if kinds == {int}:  # True is no int here, though Python takes it for 1
        for code in ("b", "q"):
            try:
                return array(code, values)
            except OverflowError:
                continue
    return array("d", values) if kinds == {float} else to_json(values)
