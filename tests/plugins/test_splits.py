"""Cutting a labelled set: clean, stable, and in an order that no file decides."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plugins.splits import cut, distinct, identity, normalise, official, shuffled, without
from bench.plugins.task import Example


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  A  Good,\tfilm!! ", "a good film"),
        (("A", "good", ",", "film"), "a good film"),
        ("", ""),
        ("?!", ""),
        ("Über-Film", "über film"),
        ("don't", "don t"),
    ],
)
def test_texts_are_compared_by_their_words(text: str | tuple[str, ...], normal: str) -> None:
    assert normalise(text) == normal


def test_an_input_is_its_text_and_its_pair() -> None:
    assert identity(Example("A b", 0)) == identity(Example("a, B!", 1))
    assert identity(Example("a b", 0, "c")) != identity(Example("a", 0, "b c"))
    assert identity(Example("a", 0, "b")) != identity(Example("b", 0, "a"))


def test_the_first_of_its_kind_is_kept() -> None:
    assert distinct(["b", "A", "a", "B", "c"], str.lower) == ["b", "A", "c"]


def test_a_shuffled_order_is_the_items_own() -> None:
    items = [str(number) for number in range(200)]
    order = shuffled(items, str, "salt")
    assert order == shuffled(reversed(items), str, "salt")
    assert sorted(order) == sorted(items)
    assert order != items
    assert order != shuffled(items, str, "pepper")
    without = shuffled([item for item in items if item != "7"], str, "salt")
    assert without == [item for item in order if item != "7"]  # one item less moves no other


texts = st.lists(st.text(alphabet="ab ,!", max_size=5), max_size=40)


@settings(max_examples=60, deadline=None)
@given(texts, st.integers(0, 5), st.integers(0, 5))
def test_cut_splits_share_no_input(words: list[str], validation: int, test: int) -> None:
    examples = [Example(word, at % 2) for at, word in enumerate(words)]
    inputs = {normalise(word) for word in words}
    if len(inputs) <= validation + test:
        with pytest.raises(ValueError, match="distinct examples are too few for"):
            cut(examples, salt="s", validation=validation, test=test)
        return
    splits = cut(examples, salt="s", validation=validation, test=test)
    assert (len(splits["validation"]), len(splits["test"])) == (validation, test)
    every = [normalise(e.text) for split in splits.values() for e in split]
    assert len(every) == len(set(every)) == len(inputs)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 10**6), min_size=12, max_size=40, unique=True),
    st.integers(0, 5),
    st.integers(0, 5),
    st.randoms(),
)
def test_a_cut_depends_on_no_order_and_losing_an_example_moves_two_at_most(
    numbers: list[int], validation: int, test: int, random: Any
) -> None:
    def where(order: list[int]) -> dict[str, str]:
        splits = cut((Example(str(n), n % 2) for n in order), salt="s", validation=validation, test=test)
        return {str(example.text): name for name, split in splits.items() for example in split}

    before = where(numbers)
    mixed = random.sample(numbers, len(numbers))
    assert where(mixed) == before
    lost = str(mixed.pop())
    after = where(mixed)
    assert after.keys() == before.keys() - {lost}
    # One from validation takes the place of one lost from test, and one from train the place in validation.
    assert sum(after[text] != before[text] for text in after) <= 2


@settings(max_examples=100)
@given(texts, texts, st.none() | texts, st.one_of(texts, st.integers(0, 5)))
def test_tests_keep_all_and_train_and_validation_lose_what_they_share(
    train: list[str], test: list[str], extra: list[str] | None, validation: list[str] | int
) -> None:
    def examples(words: list[str]) -> list[Example]:
        return [Example(word, 0) for word in words]

    held_out = validation if isinstance(validation, int) else examples(validation)
    extra_tests = {} if extra is None else {"extra": examples(extra)}
    splits = official(examples(train), examples(test), salt="s", validation=held_out, extra_tests=extra_tests)
    assert list(splits) == ["train", "validation", "test", *extra_tests]
    assert sorted(str(example.text) for example in splits["test"]) == sorted(test)
    assert sorted(str(example.text) for example in splits.get("extra", [])) == sorted(extra or [])
    inputs = {name: {normalise(e.text) for e in split} for name, split in splits.items()}
    for one, other in itertools.combinations(inputs, 2):
        if (one, other) != ("test", "extra"):  # two tests may ask the same
            assert not inputs[one] & inputs[other]
    tested = inputs["test"] | inputs.get("extra", set())
    free = {normalise(word) for word in train} - tested
    if isinstance(validation, int):
        assert len(splits["validation"]) == min(validation, len(free))
        assert inputs["train"] | inputs["validation"] == free
    else:
        assert inputs["validation"] == {normalise(word) for word in validation} - tested
        assert inputs["train"] == free - inputs["validation"]


def test_without_others() -> None:
    examples = [Example("a b", 0), Example("A, b!", 1), Example("c", 0), Example("c", 0, "d")]
    assert without(examples, [Example("a  B", 5), Example("c", 0, "e")]) == examples[2:]
