"""Everything that reads other people's files and words: a sentence for bad input, and no other exception.

A small part of what `python -m fuzz TARGET` does in ten minutes, and what that has found.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS

HEAVY = {"records", "configs"}  # some 20 a second


def damaged(seed: bytes, random: random.Random) -> bytes:
    """The bytes with a few of them overwritten, left out, doubled or put elsewhere."""
    made = bytearray(seed)
    for _ in range(random.randint(1, 4)):
        at, length = random.randrange(len(made) + 1), random.randint(1, 8)
        part = bytes(made[at : at + length])
        new = random.choice(
            (b"", part * 2, random.randbytes(length), part.upper(), b"\xff", b"\0", b"9" * 40, b"-", b"[" * 300, b'"')
        )
        made[at : at + length] = new
    return bytes(made)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_what_a_target_is_for(name: str) -> None:
    for seed in TARGETS[name].seeds():
        assert TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_ends_in_a_sentence(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()

    @settings(max_examples=15 if name in HEAVY else 60, deadline=None, database=None)
    @given(st.sampled_from(seeds) | st.binary(max_size=200), st.randoms(use_true_random=False))
    def one(seed: bytes, random: random.Random) -> None:
        target.run(damaged(seed, random))

    one()
