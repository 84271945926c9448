"""Cutting a labelled set: clean, stable, and in an order that no file decides."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import unlike_any

from bench.plugins.splits import (
    Cut,
    compared,
    conflicts,
    cut,
    distinct,
    identity,
    normalise,
    official,
    shuffled,
    unlike,
    without,
)
from bench.plugins.task import Example


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  A  Good,\tfilm!!\n", "a good, film!!"),
        (("A", "good", ",", "film"), "a good , film"),
        ("", ""),
        ("\u00a0\u3000", ""),
        ("ÜBER-Straße", "über-strasse"),
        ("U\u0308ber", "über"),  # a combining mark
        ("ﬁlm \uff21\uff11", "film a1"),  # a ligature, full width
    ],
)
def test_texts_are_compared_but_for_case_width_and_space(text: str | tuple[str, ...], normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize("texts", [("दिन", "दान", "दीन"), ("C", "C++", "C#"), ("?!", "!?", "..."), ("كتب", "كُتُب")])
def test_marks_and_signs_tell_texts_apart(texts: tuple[str, ...]) -> None:
    assert len({normalise(text) for text in texts}) == len(texts)
    splits = cut([Example(text, 0) for text in (*texts, *map(str.lower, texts))], salt="s", validation=0, test=0)
    assert (len(splits["train"]), splits.removed) == (len(texts), len(texts))


@given(st.text())
def test_a_compared_text_is_its_own(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text) == normalise(f" {text}\n")


def test_an_input_is_its_text_and_its_pair() -> None:
    assert identity(Example("A  b", 0)) == identity(Example("a B", 1)) == identity(Example(("A", "b"), (0, 0)))
    assert identity(Example("a b", 0, "c")) != identity(Example("a", 0, "b c"))
    assert identity(Example("a", 0, "b")) != identity(Example("b", 0, "a"))
    assert compared(Example("A  b", 0, "C\td")) == "a b c d"
    assert compared(Example(("12", "Main", "St"), (0, 1, 2))) == "12 main st"


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


def alike(template: int, count: int) -> list[Example]:
    """Near-duplicates of each other that are different inputs, and like those of no other template."""
    return [Example(f"{unlike_any(template)} {unlike_any(at)[:8]}", at % 2) for at in range(count)]


def sizes(splits: Cut) -> tuple[int, ...]:
    return tuple(len(splits[name]) for name in ("test", "validation", "train"))


def test_clusters_stay_together_and_splits_keep_their_sizes() -> None:
    singles = [Example(unlike_any(n), 0) for n in range(99, 179)]
    examples = [*itertools.chain(*(alike(at, 3) for at in range(40))), *singles]
    splits = cut(examples, salt="s", validation=30, test=50)
    assert sizes(splits) == (50, 30, 120)
    places: dict[str, set[str]] = {}
    for name, found in splits.items():
        for example in found:
            places.setdefault(str(example.text).split()[0], set()).add(name)
    assert {len(names) for names in places.values()} == {1}
    for part in splits.values():  # and each split is in a random order: a budget takes its first examples
        texts = [str(example.text).split()[0] for example in part]
        runs = sum(one != other for one, other in itertools.pairwise(texts))
        assert runs > 0.8 * len(part)


def test_a_cut_by_clusters_depends_on_no_order() -> None:
    examples = [*itertools.chain(*(alike(at, 1 + at % 5) for at in range(30))), Example("a b", 0), Example("A b", 1)]
    expected = cut(examples, salt="s", validation=10, test=20)
    for seed in range(5):
        mixed = random.Random(seed).sample(examples, len(examples))
        assert cut(mixed, salt="s", validation=10, test=20) == expected
    assert sizes(expected) == (19, 9, 63)  # no cluster of one is left, and those of two are a tenth of test at most
    assert cut(examples, salt="pepper", validation=10, test=20) != expected


def test_a_cluster_of_more_than_a_tenth_of_a_split_is_for_training() -> None:
    giant, singles = alike(0, 300), [Example(unlike_any(n), 0) for n in range(1, 301)]
    for salt in "abcde":
        splits = cut([*giant, *singles], salt=salt, validation=100, test=100)
        assert sizes(splits) == (100, 100, 400)
        assert set(giant) <= set(splits["train"])
    with pytest.raises(ValueError, match=r"600 distinct examples form 301 clusters .* largest of 300: too few for"):
        cut([*giant, *singles], salt="a", validation=200, test=300)
    free = cut([*giant, *singles], salt="a", validation=200, test=300, by_cluster=False)
    assert sizes(free) == (300, 200, 100)
    assert set(giant) & set(free["test"])
    assert set(giant) & set(free["train"])


@pytest.mark.parametrize(
    ("count", "size", "wanted", "expected"),
    [
        (5, 20, (10, 10), (20, 20, 60)),  # no split may be empty
        (20, 3, (10, 10), (9, 9, 42)),  # 9 is nearer to 10 than 12
        (20, 3, (11, 11), (12, 12, 36)),  # 12 is nearer to 11 than 9
        (2, 20, (10, 0), (20, 0, 20)),
        (1, 20, (0, 0), (0, 0, 20)),
    ],
)
def test_sizes_are_as_near_as_clusters_allow(
    count: int, size: int, wanted: tuple[int, int], expected: tuple[int, ...]
) -> None:
    examples = list(itertools.chain(*(alike(at, size) for at in range(count))))
    assert sizes(cut(examples, salt="s", test=wanted[0], validation=wanted[1])) == expected


@pytest.mark.parametrize(("count", "wanted"), [(1, (1, 0)), (1, (0, 1)), (2, (1, 1))])
def test_too_few_clusters_are_refused(count: int, wanted: tuple[int, int]) -> None:
    examples = list(itertools.chain(*(alike(at, 20) for at in range(count))))
    with pytest.raises(ValueError, match=f"{20 * count} distinct examples form {count} clusters .* too few for"):
        cut(examples, salt="s", test=wanted[0], validation=wanted[1])


def test_what_is_removed_and_contradicts_itself_is_counted() -> None:
    a, b, c, d = (Example(unlike_any(n), 0) for n in range(4))
    again, opposite = a._replace(text=f" {a.text}"), b._replace(label=1)
    splits = cut([a, b, c, d, again, opposite, opposite], salt="s", validation=1, test=1)
    assert (splits.removed, splits.conflicts) == (3, 1)
    splits = official([a, b, c, again], [opposite, d, d], salt="s", validation=[d, a])
    assert (splits.removed, splits.conflicts) == (4, 1)  # d of validation; a twice and b of train
    assert sum(map(len, splits.values())) == 5
    assert conflicts([Example("a", 1.0), Example("A", 1.5), Example("b", 1.0), Example("b", 1.0)]) == 1


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
        splits = cut((Example(unlike_any(n), n % 2) for n in order), salt="s", validation=validation, test=test)
        return {str(example.text): name for name, split in splits.items() for example in split}

    before = where(numbers)
    mixed = random.sample(numbers, len(numbers))
    assert where(mixed) == before
    lost = unlike_any(mixed.pop())
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
    examples = [Example("a b", 0), Example("A b ", 1), Example("c", 0), Example("c", 0, "d")]
    assert without(examples, [Example("a  B", 5), Example("c", 0, "e")]) == examples[2:]


def test_unlike_others() -> None:
    examples = [Example("call 0123456 to claim", 0), Example("something else", 0)]
    assert unlike(examples, [Example("Call 9876543 to claim it", 1)]) == examples[1:]
