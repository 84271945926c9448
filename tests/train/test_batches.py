"""Batches: every example once, sizes, determinism, and little padding."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.train.batches import POOL, epoch_batches, sorted_batches

lengths_lists = st.lists(st.integers(1, 200), max_size=400)


def padding(lengths: np.ndarray, batches: list[np.ndarray]) -> int:
    """Padding tokens over all batches."""
    return sum(int(lengths[batch].max() * len(batch) - lengths[batch].sum()) for batch in batches)


@settings(max_examples=100, deadline=None)
@given(lengths_lists, st.integers(1, 40), st.integers(0, 2**63 - 1))
def test_each_example_comes_once_an_epoch(lengths: list[int], size: int, seed: int) -> None:
    batches = epoch_batches(np.array(lengths, dtype=np.int64), size, seed)
    indices = [int(index) for batch in batches for index in batch]
    assert sorted(indices) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert len(batches) == -(-len(lengths) // size)  # what training.total_steps counts on
    assert sum(len(batch) < size for batch in batches) <= 1


def test_a_seed_gives_one_order_and_another_seed_other_batches() -> None:
    lengths = np.full(300, 7)
    one, again, other = ([batch.tolist() for batch in epoch_batches(lengths, 10, seed)] for seed in (1, 1, 2))
    assert one == again != other
    assert set(map(frozenset, one)) != set(map(frozenset, other))


def test_grouping_leaves_a_fraction_of_the_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 128, size=2000)
    order = np.random.default_rng(1).permutation(2000)
    at_random = padding(lengths, [order[at : at + 16] for at in range(0, 2000, 16)])
    grouped = padding(lengths, epoch_batches(lengths, 16, 0))
    assert padding(lengths, sorted_batches(lengths, 16)) < grouped < at_random / 10


def test_examples_of_one_pool_share_batches_by_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, size=4 * POOL)  # a single pool of batches of four
    spans = sorted((lengths[batch].min(), lengths[batch].max()) for batch in epoch_batches(lengths, 4, 0))
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


@settings(max_examples=100, deadline=None)
@given(lengths_lists, st.integers(1, 40))
def test_evaluation_goes_from_long_to_short(lengths: list[int], size: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = sorted_batches(array, size)
    flat = [int(index) for batch in batches for index in batch]
    assert flat == sorted(range(len(lengths)), key=lambda index: -lengths[index])  # equal lengths keep their order
    assert all(len(batch) == size for batch in batches[:-1])
