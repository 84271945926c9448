"""The order of cells, by hand."""

from __future__ import annotations

from collections.abc import Sequence

from made import cell

from bench.grid.cell import Cell
from bench.runner.schedule import in_order

SECONDS = {"short": 1.0, "middle": 5.0, "long": 9.0}
CELLS = [cell(method, seed, task=task) for seed in (3, 1) for task in ("a", "b") for method in SECONDS]


def guess(each: Cell) -> float | None:
    return SECONDS.get(each.method)


def names(cells: Sequence[Cell]) -> list[str]:
    return [f"{each.method} {each.task} {each.seed}" for each in cells]


def test_one_worker_takes_cells_as_they_come_seed_by_seed() -> None:
    mixed = [CELLS[at] for at in (0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11)]
    assert list(in_order(mixed, 1, guess)) == CELLS


def test_several_begin_with_the_longest_of_each_seed() -> None:
    assert names(list(in_order(CELLS[:6], 2, guess))) == [
        "long a 3", "long b 3", "middle a 3", "middle b 3", "short a 3", "short b 3",
    ]  # fmt: skip
    assert [each.seed for each in in_order(CELLS, 2, guess)] == [3] * 6 + [1] * 6


def test_cells_of_unknown_length_come_first_and_as_they_come() -> None:
    unknown = [cell("new", 3, task=task) for task in ("b", "a")]
    assert list(in_order([*CELLS[:3], *unknown], 2, guess))[:2] == unknown
    assert list(in_order(CELLS, 2, lambda each: None)) == CELLS


def test_a_seed_is_put_in_order_when_its_turn_comes() -> None:
    learnt: dict[str, float] = {}
    cells = in_order(CELLS, 2, lambda each: learnt.get(each.method))
    assert [next(cells).method for _ in range(6)] == ["short", "middle", "long"] * 2
    learnt.update(SECONDS)
    assert [each.method for each in cells] == ["long", "long", "middle", "middle", "short", "short"]
