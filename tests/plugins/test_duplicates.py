"""Near-duplicates against sets compared one by one."""

import itertools
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plugins import registry
from bench.plugins.duplicates import clusters, grams, near, similar
from bench.plugins.splits import compared


def partition(numbers: list[int]) -> set[frozenset[int]]:
    groups: dict[int, set[int]] = {}
    for at, number in enumerate(numbers):
        groups.setdefault(number, set()).add(at)
    return {frozenset(group) for group in groups.values()}


def partition_by_hand(texts: list[str]) -> set[frozenset[int]]:
    """Every pair compared, groups merged until none can be."""
    group = list(range(len(texts)))
    for one, other in itertools.combinations(range(len(texts)), 2):
        if similar(grams(texts[one]), grams(texts[other])):
            group = [group[one] if each == group[other] else each for each in group]
    return partition(group)


def test_grams_by_hand() -> None:
    assert grams("abcdef") == {"abcde", "bcdef"}
    assert grams("call 07973") == grams("call 12345") == {"call ", "all 0", "ll 00", "l 000", " 0000", "00000"}
    assert grams("abcd") == {"abcd"}
    assert grams("") == {""}
    assert grams("\u0664\u0665 years") == grams("12 years")  # Arabic-Indic digits


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("abcdefg", "abcdefgxyz", True),  # 3 grams of 6: just 0.5
        ("abcdefg", "abcdefgwxyz", False),  # 3 of 7
        ("abcdefg", "abcdefgx", True),  # 3 of 4
        ("good", "good!", False),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_the_threshold_by_hand(one: str, other: str, expected: bool) -> None:
    assert similar(grams(one), grams(other)) is expected
    numbers = clusters([one, other])
    assert (numbers[0] == numbers[1]) is expected
    assert near([one], [other]).tolist() == [expected]


def test_a_chain_is_one_cluster() -> None:
    """Each window of twelve letters shares 6 of 10 grams with the next, and 4 of 12 with the one after that."""
    chain = ["abcdefghijklmnopqrstuvwxyz"[at : at + 12] for at in (0, 2, 4, 6)]
    assert similar(grams(chain[0]), grams(chain[1]))
    assert not similar(grams(chain[0]), grams(chain[2]))
    numbers = clusters([chain[0], "something else", chain[2], chain[1], chain[3]])
    assert numbers[0] == numbers[2] == numbers[3] == numbers[4] != numbers[1]


def test_masked_digits_make_texts_equal_and_nothing_has_no_cluster() -> None:
    one, other, third = clusters(["account 07973 expires 31/10", "account 12345 expires 01/02", "another 1"])
    assert one == other != third
    assert clusters([]) == []
    assert near([], ["a"]).tolist() == []
    assert near(["a"], []).tolist() == [False]


def made(count: int, seed: int) -> list[str]:
    """Sentences of a few words, many of them changed a little: every similarity occurs."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(2, 8))) for _ in range(300)]
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(count // 4)]
    while len(texts) < count:
        changed = draw.choice(texts).split()
        for _ in range(draw.randint(1, 4)):
            changed[draw.randrange(len(changed))] = draw.choice(words)
        texts.append(" ".join(changed))
    return texts


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_those_of_all_pairs(seed: int) -> None:
    texts = made(400, seed)
    found = partition(clusters(texts))
    assert found == partition_by_hand(texts)
    assert 20 < len(found) < 380
    half = texts[:200], texts[200:]
    by_hand = [any(similar(grams(text), grams(other)) for other in half[1]) for text in half[0]]
    assert near(*half).tolist() == by_hand
    assert 20 < sum(by_hand) < 180


@settings(max_examples=50)
@given(st.lists(st.text(alphabet="ab1 \u0926\u0940\u4e2d\U0001f600\ud800", max_size=12), max_size=12), st.randoms())
def test_any_characters_in_any_order(texts: list[str], draw: Any) -> None:
    found = partition(clusters(texts))
    assert found == partition_by_hand(texts)
    order = draw.sample(range(len(texts)), len(texts))
    shuffled = partition(clusters([texts[at] for at in order]))
    assert {frozenset(order[at] for at in group) for group in shuffled} == found


def test_another_process_finds_the_same() -> None:
    code = "from test_duplicates import clusters, made; print(clusters(made(200, 7)))"
    env = {"PYTHONHASHSEED": "5", "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(clusters(made(200, 7)))


def test_a_template_of_thousands_is_one_cluster() -> None:
    """Of 3,000 copies no two are equal, and all 4.5 million pairs are too many to compare."""
    draw = random.Random(1)

    def name() -> str:
        return "".join(draw.choices(["ka", "lo", "mi", "ten", "ra", "su", "vor", "nel", "gi", "po"], k=3))

    copies = [f"dear {name()}, your parcel from {name()} is at the office, call today" for _ in range(3000)]
    assert len(set(clusters(copies))) == 1


@pytest.mark.parametrize("name", ["sms-spam", "us-address", pytest.param("rt-polarity", marks=pytest.mark.slow)])
def test_no_split_has_a_near_duplicate_in_another(embedded: Callable[[str], Path], name: str) -> None:
    task = registry.tasks().get(name).plugin
    texts = {split: [compared(e) for e in found] for split, found in task().read(embedded(task.source)).items()}
    for one, other in itertools.combinations(texts, 2):
        assert not np.any(near(texts[one], texts[other])), (one, other)
