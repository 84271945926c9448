"""Packed lists: the values of the lists that they stand for, to the bit, in less memory."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bench.records.packed import PackedList

NUMBERS = st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.booleans() | st.none()
VALUES = NUMBERS | st.text(st.characters(exclude_categories=["Cs"])) | st.lists(st.integers(-1, 99))
LISTS = (
    st.lists(st.integers(-128, 127))
    | st.lists(st.integers(-(2**63), 2**63 - 1))
    | st.lists(st.floats(allow_nan=False))
    | st.lists(VALUES)
)


@given(LISTS)
def test_it_is_the_list(values: list[Any]) -> None:
    packed = PackedList(values)
    assert repr(list(packed)) == repr(values)  # types, too, and the sign of zero
    assert packed == values
    assert len(packed) == len(values)
    assert packed[1:3] == values[1:3]
    assert [packed[at] for at in range(len(values))] == values
    again = pickle.loads(pickle.dumps(packed))
    assert again == packed == PackedList(packed)
    assert hash(again) == hash(packed)


@pytest.mark.parametrize(
    ("first", "second"),
    [([1], [1.0]), ([1], [True]), ([0.0], [-0.0]), ([1, 0], [1, 0, 0]), ([[1]], [["1"]]), ([200], [-56]), ([], [None])],
)
def test_values_of_other_types_are_not_equal(first: list[Any], second: list[Any]) -> None:
    assert PackedList(first) != PackedList(second)


def test_it_is_validated_and_written_as_a_list() -> None:
    adapter = TypeAdapter(PackedList[float])
    made = adapter.validate_python([1, 2.5])
    assert (type(made), list(made)) == (PackedList, [1.0, 2.5])
    assert adapter.dump_python(made, mode="json") == adapter.dump_python(made) == [1.0, 2.5]
    for wrong in (["x"], 3, {"a": 1}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_it_takes_a_third_of_the_memory_or_less() -> None:
    for values, most in (([at % 2 for at in range(1000)], 1.2), ([at / 3 for at in range(1000)], 8.2)):
        packed = PackedList(values)._packed
        assert packed.__sizeof__() < most * 1000  # a list takes 8 a small integer, and 32 a float
