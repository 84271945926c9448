"""Splits without overlap: cutting a labelled set into train, validation and test, or taking official splits."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from bench.plugins.duplicates import clusters, near
from bench.plugins.task import Example

T = TypeVar("T")
LARGEST = 0.1  # of validation or test that may be near-duplicates of each other


class Cut(dict[str, list[Example]]):
    """Splits, and what was found in their source.

    removed: how many examples are in no split, because their input is in one already. conflicts: how many inputs have
    more than one label. dropped: how many rows are no examples, because they lack a text or a label. notes: what else
    is good to know.
    """

    def __init__(self, splits: Mapping[str, list[Example]], source: Iterable[Example]) -> None:
        super().__init__(splits)
        self.dropped = 0
        self.notes: list[str] = []
        examples = list(source)
        self.removed = len(examples) - sum(map(len, splits.values()))
        self.conflicts = conflicts(examples)


def normalise(text: str | tuple[str, ...]) -> str:
    """A text as texts are compared: Unicode NFKC, case folded, with single spaces.

    Signs stay: C, C++ and C# are three texts, and so are words that differ in a combining mark.
    """
    joined = text if isinstance(text, str) else " ".join(text)
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", joined).casefold()).split())


def identity(example: Example) -> str:
    """What makes two examples the same input, whatever their label."""
    return f"{normalise(example.text)}\x1f{normalise(example.pair or '')}"


def compared(example: Example) -> str:
    """The text in which near-duplicates are looked for: words joined by spaces, a pair's two texts joined by one."""
    return identity(example).replace("\x1f", " ").rstrip()


def conflicts(examples: Iterable[Example]) -> int:
    """The number of inputs that have more than one label."""
    labelled = {(identity(example), example.label) for example in examples}
    return sum(count > 1 for count in Counter(key for key, _ in labelled).values())


def distinct(items: Iterable[T], key: Callable[[T], Hashable]) -> list[T]:
    """The first item of each key, in order."""
    seen: dict[Hashable, T] = {}
    for item in items:
        seen.setdefault(key(item), item)
    return list(seen.values())


def shuffled(items: Iterable[T], key: Callable[[T], str], salt: str) -> list[T]:
    """Items in an order that depends on their keys and the salt alone, not on how a file lists them."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{salt}\x1f{key(item)}".encode()).digest())


def cut(
    examples: Iterable[Example], *, salt: str, validation: int | float, test: int | float, by_cluster: bool = True
) -> Cut:
    """Remove repeated inputs, shuffle by a fixed hash, and cut by clusters; what is left over is for training.

    A cluster of near-duplicates (see bench.plugins.duplicates) is in one split as a whole. Every order is a hash of
    each example's own text, so without near-duplicates, adding or losing an example elsewhere in the file moves no
    other example between splits beyond the cut itself.

    Args:
        validation, test: how many examples, or as a float their share of the distinct ones.
        by_cluster: False: near-duplicates may be in different splits, for data that are one template throughout.

    Raises:
        ValueError: if there are too few examples, or too few clusters.
    """
    source = list(examples)
    # Which one of equal inputs stays is not the file's to decide either.
    pool = shuffled(distinct(shuffled(source, repr, salt), identity), identity, salt)
    validation, test = count(validation, pool), count(test, pool)
    if len(pool) <= validation + test:
        raise ValueError(
            f"{len(pool)} distinct examples are too few for {validation} in validation, {test} in test and train"
        )
    cluster = clusters([compared(example) for example in pool]) if by_cluster else list(range(len(pool)))
    split_of = _assigned(Counter(cluster), {"test": test, "validation": validation})
    splits: dict[str, list[Example]] = {"test": [], "validation": [], "train": []}
    for example, number in zip(pool, cluster, strict=True):
        splits[split_of[number]].append(example)
    return Cut(splits, source)


def count(part: int | float, pool: Sequence[Example]) -> int:
    """A number of examples: as it is, or of a share of them, but at least one."""
    return part if isinstance(part, int) else max(1, round(part * len(pool)))


def _assigned(sizes: Mapping[int, int], wanted: Mapping[str, int]) -> dict[int, str]:
    """The split of each cluster, in the order of the clusters: a split that it fits into, or else train.

    A cluster of more than a tenth of a split is for training: a score on it would be one on a single template. If that
    leaves a split too small, train gives its smallest clusters as long as they bring the split nearer to its size, or
    the split is empty.
    """
    room = dict(wanted)
    split_of = {}
    for cluster, size in sizes.items():
        fits = (name for name in room if size <= min(room[name], max(1, LARGEST * wanted[name])))
        split = split_of[cluster] = next(fits, "train")
        if split != "train":
            room[split] -= size
    spare = sorted((cluster for cluster in sizes if split_of[cluster] == "train"), key=sizes.__getitem__)
    for name, number in wanted.items():
        while room[name] > 0 and len(spare) > 1 and (sizes[spare[0]] < 2 * room[name] or room[name] == number):
            split_of[spare[0]] = name
            room[name] -= sizes[spare.pop(0)]
        if room[name] == number > 0:
            asked = " and ".join(f"{count} in {split}" for split, count in wanted.items())
            raise ValueError(
                f"{sum(sizes.values())} distinct examples form {len(sizes)} clusters of near-duplicates, the largest "
                f"of {max(sizes.values())}: too few for {asked} (ask for smaller splits, or cut with "
                "by_cluster=False)"
            )
    return split_of


def official(
    train: list[Example],
    test: list[Example],
    *,
    salt: str,
    validation: list[Example] | int | float,
    extra_tests: Mapping[str, list[Example]] | None = None,
) -> Cut:
    """Official splits without the inputs that they share.

    test and every extra test keep all their examples. An input that is also in one of them is removed from validation,
    and one that is in any other split from train. Each split is put in a fixed random order, so that its first
    examples are a fair sample of it. Near-duplicates stay where they are: `check` reports how many there are.

    Args:
        validation: the official validation split, or how many examples (as a float, which share) to cut from train
            where the official one serves as test; then train keeps repeated inputs once.
        extra_tests: further test splits by name.
    """
    tests = {"test": test, **(extra_tests or {})}
    tested = list(chain.from_iterable(tests.values()))
    source = [*train, *tested, *(validation if isinstance(validation, list) else [])]
    train = without(train, tested)
    if not isinstance(validation, list):
        pool = shuffled(distinct(train, identity), identity, salt)
        size = count(validation, pool)
        train, held_out = pool[size:], pool[:size]
    else:
        held_out = without(validation, tested)
        train = without(train, held_out)
    splits = {"train": train, "validation": held_out, **tests}
    return Cut({name: shuffled(split, identity, salt) for name, split in splits.items()}, source)


def without(examples: Iterable[Example], others: Iterable[Example]) -> list[Example]:
    """The examples whose input is not among the others, in order."""
    taken = {identity(other) for other in others}
    return [example for example in examples if identity(example) not in taken]


def unlike(examples: list[Example], others: Iterable[Example]) -> list[Example]:
    """The examples without a near-duplicate, or an equal, among the others, in order."""
    alike = near([compared(example) for example in examples], [compared(other) for other in others])
    return [example for example, is_alike in zip(examples, alike, strict=True) if not is_alike]
