"""What is tried, in which order, on objectives whose best is known; and that a restart anywhere asks for the same."""

from __future__ import annotations

import random

import pytest
from objective import COLLAPSED, SPACE, peak, rates_of, run, search, search_all, trained

from bench.plugins.search_space import Space
from bench.records.record import Record
from bench.tuning.search import on_task, over_tasks
from bench.tuning.trials import Trial, point, trials_of

GRID = [1e-4, 2.5e-4, 6.3e-4, 1.6e-3, 4e-3, 1e-2]


def at(rate: float, **more: object) -> tuple[tuple[str, object], ...]:
    return point({"learning_rate": rate, **more})


def test_rates_then_dropout_then_a_second_seed() -> None:
    """The best is at 2e-3: 1.6e-3 is first, 4e-3 second. There the other dropout is tried, and it is worse."""
    first, second, third = search_all(search(), peak(2e-3, dropout=-0.1))
    assert rates_of(first) == GRID
    assert all(each.seeds == (100,) for each in [*first, *second])
    assert [each.settings for each in second] == [at(1.6e-3, dropout=None), at(4e-3, dropout=None)]
    assert [(each.settings, each.seeds) for each in third] == [(at(1.6e-3), (101,)), (at(4e-3), (101,))]


def test_where_dropout_is_better_the_second_seed_is_for_it() -> None:
    *_, last = search_all(search(), peak(2e-3, dropout=0.05))
    assert [each.settings for each in last] == [at(1.6e-3, dropout=None), at(4e-3, dropout=None)]


@pytest.mark.parametrize(
    ("best", "added"),
    [
        (0.025, [0.025, 0.063]),  # found, and the one beyond it does not win
        (10.0, [0.025, 0.063, 0.16]),  # three, which is the limit
        (4e-5, [4e-5, 1.6e-5]),
        (2e-3, []),
    ],
)
def test_a_winning_edge_is_extended_until_it_does_not_win(best: float, added: list[float]) -> None:
    rounds = [wanted for wanted in search_all(search(), peak(best)) if len(wanted[0].settings) == 1]
    rounds = [wanted for wanted in rounds if wanted[0].seeds == (100,)]
    assert [rate for wanted in rounds[1:] for rate in rates_of(wanted)] == added


def test_no_rate_is_tried_that_makes_no_sense() -> None:
    space = Space(0.01, 1.0)
    assert max(rate for wanted in search_all(search(space=space), peak(100)) for rate in rates_of(wanted)) == 1.0


def test_an_edge_that_wins_over_all_tasks_is_extended_on_all_of_them() -> None:
    """On b and c 1e-2 is the best and by far; on a 4e-3 is, and 1e-2 is nearly as good."""
    scores = {"a": peak(6e-3), "b": peak(0.1), "c": peak(0.1)}
    second = search_all(search(("a", "b", "c")), lambda task, *of: scores[task](task, *of))[1]
    assert [each.task for each in second] == ["a", "b", "c"]
    assert {rate for task in "abc" for rate in rates_of(second, task)} == {0.025}


def test_each_task_has_its_own_leader_beside_the_two_over_all_tasks() -> None:
    """The logarithms of the three best rates have the mean -2.9: 1.6e-3 (-2.8) is next to it, then 6.3e-4 (-3.2)."""
    scores = {"a": peak(2e-3), "b": peak(4e-3), "c": peak(2.5e-4)}
    rounds = search_all(search(("a", "b", "c")), lambda task, *of: scores[task](task, *of))
    options = next(wanted for wanted in rounds if len(wanted[0].settings) == 2)
    assert [rates_of(options, task) for task in "abc"] == [
        [1.6e-3, 6.3e-4],
        [1.6e-3, 6.3e-4, 4e-3],
        [1.6e-3, 6.3e-4, 2.5e-4],
    ]


def test_what_collapsed_or_failed_never_leads() -> None:
    """The best by its score is 4e-3, which collapsed, as the loss tells; 1e-2 fails."""
    records: list[Record] = []
    (first,) = search_all(search(seeds=(100,), extensions=0), lambda *_: None, [])[:1]
    for wanted in first:
        rate = dict(wanted.settings)["learning_rate"]
        score = None if rate == 1e-2 else peak(4e-3)("a", rate, None, 100)
        records.append(
            trained("a", dict(wanted.settings), 100, score, **({"collapsed": COLLAPSED} if rate == 4e-3 else {}))
        )
    options = search(seeds=(100,), extensions=0).wanted(trials_of(records))
    assert rates_of(options) == [1.6e-3, 6.3e-4]


def test_a_leader_that_collapses_at_the_second_seed_makes_room_for_the_next_best() -> None:
    def score(task: str, rate: float, dropout: float | None, seed: int) -> float | None:
        return 0.4 if seed == 101 and rate == 1.6e-3 else peak(2e-3, dropout=-0.1)(task, rate, dropout, seed)

    *_, third, fourth = search_all(search(), score)
    assert rates_of(third) == [1.6e-3, 4e-3]
    assert (rates_of(fourth), fourth[0].seeds) == ([6.3e-4], (101,))


def test_if_nothing_can_be_used_the_search_ends() -> None:
    (only,) = search_all(search(), lambda *_: None)
    assert rates_of(only) == GRID


def test_one_seed_and_no_options_are_rates_alone() -> None:
    how = search(seeds=(100,), space=Space(1e-4, 1e-2, options={}))
    assert [rates_of(wanted) for wanted in search_all(how, peak(2e-3))] == [GRID]
    assert how.sizes == (6, 9)


def test_the_number_of_cells_is_within_what_is_said() -> None:
    for tasks, best in ((("a",), 2e-3), (("a",), 10.0), (("a", "b"), 10.0), (("a", "b", "c"), 2e-3)):
        count = sum(len(each.seeds) for wanted in search_all(search(tasks), peak(best)) for each in wanted)
        least, most = search(tasks).sizes
        assert least <= count <= most
    assert search().sizes == (10, 13)


def noisy(task: str, rate: float, dropout: float | None, seed: int) -> float | None:
    found = random.Random(f"{task} {rate} {dropout} {seed}")
    base = peak({"a": 2e-3, "b": 0.02, "c": 1e-4}[task], dropout=0.01)(task, rate, dropout, seed) or 0.0
    return None if found.random() < 0.1 else base + found.gauss(0, 0.03)


def test_a_search_that_was_killed_anywhere_goes_on_to_the_same_end() -> None:
    """After each single record: the rest is asked for, in any order of the records, and the end is the same."""
    how, whole = search(("a", "b", "c")), []
    rounds = search_all(how, noisy, whole)
    assert len(rounds) >= 4  # every stage was there
    end = {each.id for each in whole}
    for count in range(0, len(whole), 3):
        kept = whole[:count]
        random.Random(count).shuffle(kept)
        search_all(how, noisy, kept)
        assert {each.id for each in kept} == end
        assert len(kept) == len(end)  # nothing twice


def test_a_part_of_a_round_is_completed_alone() -> None:
    (first, *_) = search_all(search(), peak(2e-3))
    kept = [each for wanted in first[:4] for each in run(wanted, peak(2e-3))]
    assert search().wanted(trials_of(kept)) == first[4:]


def test_over_tasks_counts_shares_of_the_gain_over_a_constant_answer() -> None:
    """a: of the way from 0.5 to 0.9, x has 1, y 3/4. b: from 0.2 to 0.4, x has 1/2, y 1. Means: 0.75, 0.875."""
    x, y, z = at(1e-4), at(1e-3), at(1e-2)
    values = {"a": {x: 0.9, y: 0.8, z: 0.9}, "b": {x: 0.3, y: 0.4, z: None}}
    floors = {"a": 0.5, "b": 0.2}
    assert over_tasks(values, floors) == [y, x, z]  # z collapsed on b
    # One bad trial changes nothing, as it would if shares began at the worst one.
    assert over_tasks({**values, "a": {**values["a"], at(1.0): 0.51}}, floors)[:2] == [y, x]


def test_of_equally_good_settings_the_methods_own_and_the_lowest_rate_are_preferred() -> None:
    same = dict.fromkeys([at(1e-2), at(1e-3, dropout=None), at(1e-3)], 0.5)
    assert on_task(same) == [at(1e-3), at(1e-2), at(1e-3, dropout=None)]


def test_a_value_is_the_mean_less_the_deviation_and_less_may_be_better() -> None:
    settings = {"learning_rate": 1e-3}
    trial = Trial((trained("a", settings, 100, 0.8), trained("a", settings, 101, 0.6)))
    assert trial.value((100,)) == 0.8
    assert trial.value((100, 101)) == pytest.approx(0.7 - 0.2 / 2**0.5)
    assert trial.value((100, 102)) is None
    error = Trial(
        tuple(trained("a", settings, seed, score, higher_is_better=False) for seed, score in ((1, 0.1), (2, 0.3)))
    )
    assert error.value((1, 2)) == pytest.approx(-0.2 - 0.2 / 2**0.5)
    assert error.floor == -0.5


def test_the_grid_has_six_rates_over_two_decades_whatever_the_range() -> None:
    assert [SPACE.rate(step, SPACE.steps(6)) for step in range(6)] == GRID
    assert [Space(1e-4, high).steps(6) for high in (2e-4, 1e-3, 1e-2, 1e-1)] == [1, 3, 5, 8]
