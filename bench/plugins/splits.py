"""Splits without overlap: cutting a labelled set into train, validation and test, or taking official splits."""

import hashlib
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import chain
from typing import TypeVar

from bench.plugins.task import Example, Splits

T = TypeVar("T")
_WORD = re.compile(r"\w+")


def normalise(text: str | tuple[str, ...]) -> str:
    """A text as a near-duplicate check sees it: lower case, words only, single spaces."""
    joined = text if isinstance(text, str) else " ".join(text)
    return " ".join(_WORD.findall(joined.lower()))


def identity(example: Example) -> str:
    """What makes two examples the same input, whatever their label."""
    return f"{normalise(example.text)}\x1f{normalise(example.pair or '')}"


def distinct(items: Iterable[T], key: Callable[[T], Hashable]) -> list[T]:
    """The first item of each key, in order."""
    seen: dict[Hashable, T] = {}
    for item in items:
        seen.setdefault(key(item), item)
    return list(seen.values())


def shuffled(items: Iterable[T], key: Callable[[T], str], salt: str) -> list[T]:
    """Items in an order that depends on their keys and the salt alone, not on how a file lists them."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{salt}\x1f{key(item)}".encode()).digest())


def cut(examples: Iterable[Example], *, salt: str, validation: int, test: int) -> Splits:
    """Remove repeated inputs, shuffle by a fixed hash, and cut; what is left over is for training.

    Because the order is a hash of each example's own text, adding or losing an example elsewhere in
    the file moves no other example between splits beyond the cut itself.
    """
    pool = shuffled(distinct(examples, identity), identity, salt)
    if len(pool) <= validation + test:
        raise ValueError(
            f"{len(pool)} distinct examples are too few for {validation} in validation, {test} in test and train"
        )
    return {
        "test": pool[:test],
        "validation": pool[test : test + validation],
        "train": pool[test + validation :],
    }


def official(
    train: list[Example],
    test: list[Example],
    *,
    salt: str,
    validation: list[Example] | int,
    extra_tests: Mapping[str, list[Example]] | None = None,
) -> Splits:
    """Official splits without the inputs that they share.

    test and every extra test keep all their examples. An input that is also in one of them is removed from validation,
    and one that is in any other split from train. Each split is put in a fixed random order, so that its first
    examples are a fair sample of it.

    Args:
        validation: the official validation split, or how many examples to cut from train where the official one
            serves as test; then train keeps repeated inputs once.
        extra_tests: further test splits by name.
    """
    tests = {"test": test, **(extra_tests or {})}
    tested = list(chain.from_iterable(tests.values()))
    train = without(train, tested)
    if isinstance(validation, int):
        pool = shuffled(distinct(train, identity), identity, salt)
        train, held_out = pool[validation:], pool[:validation]
    else:
        held_out = without(validation, tested)
        train = without(train, held_out)
    splits = {"train": train, "validation": held_out, **tests}
    return {name: shuffled(split, identity, salt) for name, split in splits.items()}


def without(examples: Iterable[Example], others: Iterable[Example]) -> list[Example]:
    """The examples whose input is not among the others, in order."""
    taken = {identity(other) for other in others}
    return [example for example in examples if identity(example) not in taken]
