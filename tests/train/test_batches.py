"""Batches and their parts: every example once, drawn at random, cut at the least cost."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.train.batches import epoch_batches, like_length_parts, sorted_batches

lengths_lists = st.lists(st.integers(1, 200), max_size=400)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 400), st.integers(1, 40), st.integers(0, 2**63 - 1))
def test_each_example_comes_once_an_epoch(examples: int, size: int, seed: int) -> None:
    batches = epoch_batches(examples, size, seed)
    assert sorted(int(index) for batch in batches for index in batch) == list(range(examples))
    assert len(batches) == -(-examples // size)  # what total_steps counts on
    assert all(len(batch) == size for batch in batches[:-1])


def test_a_seed_gives_one_order_and_another_seed_other_batches() -> None:
    one, again, other = ([batch.tolist() for batch in epoch_batches(300, 10, seed)] for seed in (1, 1, 2))
    assert one == again != other
    assert set(map(frozenset, one)) != set(map(frozenset, other))


def test_batches_do_not_follow_a_label_that_goes_with_length() -> None:
    """The label is whether a text is long: a batch's share of it varies as in draws without replacement."""
    lengths = np.random.default_rng(0).integers(5, 128, size=2048)
    long = lengths > np.quantile(lengths, 0.87)  # as much as sms-spam has of spam
    counts = [int(long[batch].sum()) for seed in range(50) for batch in epoch_batches(len(lengths), 32, seed)]
    share, others = long.mean(), (2048 - 32) / 2047  # variance of a hypergeometric distribution
    assert np.var(counts) == pytest.approx(32 * share * (1 - share) * others, rel=0.1)  # standard error: 2.5 %
    assert np.mean([count == 0 for count in counts]) < 0.03  # grouped by length it was 0.44


def cost(lengths: np.ndarray, parts: list[np.ndarray], part_tokens: int) -> int:
    return sum(int(lengths[part].max()) * len(part) + part_tokens for part in parts)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(1, 9), st.integers(0, 80))
def test_parts_are_the_cheapest_cut(lengths: list[int], largest: int, part_tokens: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    parts = like_length_parts(array, largest, part_tokens)
    assert sorted(int(at) for part in parts for at in part) == list(range(len(lengths)))
    assert all(len(part) <= largest and list(part) == sorted(part) for part in parts)
    assert all(array[one].min() >= array[next_].max() for one, next_ in itertools.pairwise(parts))
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    every = itertools.product([False, True], repeat=len(lengths) - 1)  # whether there is a cut after each example
    cuts = (np.split(np.array(order), [at + 1 for at, cut in enumerate(where) if cut]) for where in every)
    best = min(cost(array, cut, part_tokens) for cut in cuts if all(len(part) <= largest for part in cut))
    assert cost(array, parts, part_tokens) == best


@settings(max_examples=100, deadline=None)
@given(lengths_lists, st.integers(1, 40))
def test_evaluation_goes_from_long_to_short(lengths: list[int], size: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = sorted_batches(array, size)
    flat = [int(index) for batch in batches for index in batch]
    assert flat == sorted(range(len(lengths)), key=lambda index: -lengths[index])  # equal lengths keep their order
    assert all(len(batch) == size for batch in batches[:-1])
