"""Seeds: stable, apart from each other, and in torch's and numpy's range."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from bench.grid import seeds


def test_a_seed_is_the_hash_that_the_module_describes() -> None:
    digest = hashlib.sha256(b"7\x1fstr:epoch\x1fint:3").digest()
    assert seeds.derive(7, "epoch", 3) == int.from_bytes(digest[:8], "big") // 2


def test_published_seeds_never_change() -> None:
    """Records hold these; another value would make every recorded run another run."""
    assert seeds.streams(0) == {
        "data-order": 2_868_652_091_555_327_461,
        "head-init": 2_668_566_332_850_501_237,
        "method-init": 4_973_205_185_439_347_357,
        "training": 3_539_393_068_792_158_003,
    }


axes = st.lists(st.one_of(st.integers(), st.text(alphabet="abc-: 019", max_size=6)), max_size=3)


@given(st.integers(0, 10**6), st.integers(0, 10**6), axes, axes)
def test_different_axes_give_different_seeds(
    one: int, other: int, first: list[str | int], second: list[str | int]
) -> None:
    assert (seeds.derive(one, *first) == seeds.derive(other, *second)) == ((one, first) == (other, second))


def test_a_number_and_its_text_are_two_axes() -> None:
    assert seeds.derive(0, 1) != seeds.derive(0, "1")
    assert seeds.derive(0, "a", "b") != seeds.derive(0, "b", "a")
    assert seeds.derive(0, "ab") != seeds.derive(0, "a", "b")
