"""Rows against each other: by example where they can be, letters, and one chosen beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made import failed, record

from bench.errors import UsageError
from bench.leaderboard.ranking import compare_rows
from bench.leaderboard.tables import Tables
from bench.records.record import Data, Record
from bench.stats.multiple import holm


def answered(method: str, seed: int, right: np.ndarray, **of: Any) -> Record:
    """A record of a method that was right on these examples: [examples], bool."""
    truth = [at % 2 for at in range(len(right))]
    answers = [label if good else 1 - label for label, good in zip(truth, right, strict=True)]
    return record(
        method, seed, of=of, metric="accuracy", scores={"accuracy": float(right.mean())}, predictions=answers,
        references=truth,
    )  # fmt: skip


def lines(name: str, records: list[Record]) -> list[dict[str, Any]]:
    return list(Tables(records).lines(name))


def test_a_pair_by_hand() -> None:
    """Two seeds, four examples: the numbers of tests/stats/test_paired.py."""
    first = [answered("a", 0, np.array([1, 1, 1, 0])), answered("a", 1, np.array([1, 1, 0, 0]))]
    second = [answered("b", 0, np.array([0, 1, 0, 0])), answered("b", 1, np.array([0, 1, 0, 0]))]
    (line,) = lines("pairs", [*second, *first])
    assert (line["method_a"], line["method_b"], line["difference"]) == ("a", "b", 0.375)
    assert (line["n_seeds"], line["n_examples"], line["verdict"]) == (2, 4, "no significant difference")
    found = compare_rows(first, second)
    assert found is not None
    assert found.p_value == line["p_value"] == line["p_holm"]


def test_other_test_examples_are_compared_by_seed_alone() -> None:
    first = [answered("a", seed, np.arange(10) > 2 + seed) for seed in range(3)]
    second = [answered("b", seed, np.arange(12) > 5 + seed) for seed in range(3)]
    (line,) = lines("pairs", [*first, *second])
    assert line["n_examples"] is None
    assert line["p_value"] is not None


def test_entities_need_the_names_of_their_labels() -> None:
    """Records of an older form do not tell them, and are compared by seed alone."""
    for labels, examples in ((["O", "B-a"], 3), (None, None)):
        made = [
            record(
                method, seed, metric="entity_f1", scores={"entity_f1": 0.5 + seed / 10 * better},
                predictions=[[0, 1], [1], [1 - better]], references=[[0, 1], [1], [1]],
                data=Data(examples={}, labels=labels, label_counts={}, digest=""),
            )
            for method, better in (("a", 1), ("b", 0))
            for seed in (0, 1, 2)
        ]  # fmt: skip
        (line,) = lines("pairs", made)
        assert line["n_examples"] == examples


def test_one_seed_makes_no_claim() -> None:
    made = [answered("a", 0, np.arange(500) > 5), answered("b", 0, np.arange(500) > 400)]
    (line,) = lines("pairs", made)
    assert line["p_value"] < 1e-6
    assert (line["p_holm"], line["verdict"]) == (None, "no claim")
    assert [row["letters"] for row in lines("leaderboard", made)] == [None, None]


def test_failed_rows_have_no_pairs_and_stand_last() -> None:
    made = [answered("b", seed, np.arange(9) > seed) for seed in range(2)] + [failed("a", seed) for seed in range(2)]
    assert lines("pairs", made) == []
    assert [row["method"] for row in lines("leaderboard", made)] == ["b", "a"]


def four() -> list[Record]:
    draw = np.random.default_rng(1)
    rates = {"a": 0.9, "b": 0.9, "c": 0.6, "d": 0.59}
    return [answered(method, seed, draw.random(1000) < rate) for method, rate in rates.items() for seed in range(3)]


def test_letters_follow_the_pairs() -> None:
    found = {row["method"]: (row["letters"], row["rank_group"]) for row in lines("leaderboard", four())}
    assert found == {"a": ("a", 1), "b": ("a", 1), "c": ("b", 2), "d": ("b", 2)}
    verdicts = {(line["method_a"] + line["method_b"]): line["verdict"] for line in lines("pairs", four())}
    apart = {pair for pair, verdict in verdicts.items() if verdict == "a is better"}
    assert apart == {x + y for x in "ab" for y in "cd"}


def test_a_method_chosen_beforehand_is_compared_with_alone() -> None:
    tables = Tables(four())
    every, chosen = list(tables.lines("pairs")), list(tables.lines("pairs", against="c"))
    assert {(line["method_a"], line["method_b"]) for line in chosen} == {("a", "c"), ("b", "c"), ("d", "c")}
    of_all = {(line["method_a"], line["method_b"]): line for line in every}
    for line in chosen:
        wide = of_all[line["method_a"], line["method_b"]]
        assert line["p_value"] == wide["p_value"]
        assert line["minimum_detectable"] < line["minimum_detectable_holm"] < wide["minimum_detectable_holm"]
    assert [line["p_holm"] for line in chosen] == pytest.approx(holm([line["p_value"] for line in chosen]))
    with pytest.raises(UsageError, match=r"no method 'cc'; did you mean 'c'\? There are: a, b, c, d\.$"):
        tables.lines("pairs", against="cc")


def test_lower_may_be_better() -> None:
    made = [record(method, seed, score + seed**2 / 10_000 * score, higher_is_better=False)
            for method, score in (("a", 0.9), ("b", 0.1)) for seed in range(4)]  # fmt: skip
    (line,) = lines("pairs", made)
    assert (line["method_a"], line["difference"]) == ("b", pytest.approx(0.8, abs=1e-3))
    assert line["ci95_low"] < 0.8 < line["ci95_high"]
    (plain,) = lines("pairs", [each.model_copy(update={"higher_is_better": True}) for each in made])
    assert [plain[key] for key in ("difference", "ci95_low", "ci95_high")] == [
        line[key] for key in ("difference", "ci95_low", "ci95_high")
    ]
    assert [(line["method"], line["letters"]) for line in lines("leaderboard", made)] == [("b", "a"), ("a", "b")]
