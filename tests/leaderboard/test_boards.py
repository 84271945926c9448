"""From records to the leaderboard: its columns, its honesty, and its bytes."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import PROFILE, failed, memory, parameters, record, speed

from bench.cli.tables import leaderboard_table, legend
from bench.grid.suites import Budget
from bench.leaderboard import CELL_COLUMNS, COLUMNS, aggregated, current, per_cell, to_csv
from bench.plugins.recipe import Recipe
from bench.records.record import ExtraTest, Record

DESIGN = """
rank_group, method, method_params, task, model, profile, preset, metric,
score_mean, score_std, score_ci95_low, score_ci95_high, n_seeds, n_failed, status, method_params_count,
trainable_params, trainable_share_percent, trainable_share_with_head_percent, adapter_bytes, peak_train_memory_mib,
peak_eval_memory_mib, memory_kind, train_examples_per_second, train_tokens_per_second, eval_examples_per_second,
step_p50_ms, step_p95_ms, train_seconds, recipe_chosen_by, tuning_trials, tuning_examples, schema_version, bench_version
"""


def rows(records: list[Record]) -> dict[str, dict[str, Any]]:
    """The leaderboard's rows by method, with its parameters where it has some."""
    lines = aggregated(records).to_dict("records")
    return {line["method"] + (f"[{line['method_params']}]" if line["method_params"] else ""): line for line in lines}


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def board() -> list[Record]:
    """Two tasks, methods of which some fail, one with a variant, over three seeds; an older code's cells too."""
    made = []
    for seed in range(3):
        made += [
            record("pasta", seed, 0.9 + seed / 1000, parameters=parameters(), speed=speed(), memory=memory()),
            record("lora", seed, 0.5 + seed**2 / 1000, of={"variant": "r=4", "params": {"r": 4}}),
            record("lora", seed, 0.501 - seed / 1000),
            record("lora", seed, 0.1, of={"code": "old"}, finished_at="2025-01-01T00:00:00.000+00:00"),
            record("pasta", seed, 0.2, of={"task": "rt-polarity"}),
            failed("full", seed, "oom") if seed else record("full", seed, 0.95),
        ]
    return [*made, failed("head", 0, "skipped"), record("bitfit", 0, 0.99)]


# Columns and bytes


def test_the_columns_are_the_designs() -> None:
    assert [name.strip() for name in DESIGN.replace("\n", " ").split(",")] == list(COLUMNS)
    assert list(aggregated(board()).columns) == list(COLUMNS)
    assert list(per_cell(board()).columns) == list(CELL_COLUMNS)
    assert to_csv(aggregated(board())).splitlines()[0] == ",".join(COLUMNS)


EXPECTED = {make: to_csv(make(board())) for make in (aggregated, per_cell)}


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter_to_a_byte(order: random.Random) -> None:
    records = board()
    order.shuffle(records)
    assert {make: to_csv(make(records)) for make in EXPECTED} == EXPECTED


def test_no_records_make_an_empty_table() -> None:
    for make, columns in ((aggregated, COLUMNS), (per_cell, CELL_COLUMNS)):
        assert to_csv(make([])) == ",".join(columns) + "\n"
    assert leaderboard_table(aggregated([])) == "No records."
    assert "unknown" in legend(aggregated([]))


def test_csv_says_what_the_table_says() -> None:
    frame = aggregated(board())
    for line, row in zip(read(to_csv(frame)), frame.to_dict("records"), strict=True):
        for key, value in row.items():
            if value is None:
                assert line[str(key)] == ""
            elif isinstance(value, str):
                assert line[str(key)] == value
            else:
                assert float(line[str(key)]) == value  # every digit


def test_json_says_what_the_table_says() -> None:
    lines = aggregated(board()).to_dict("records")
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines


# Numbers


def test_a_row_by_hand() -> None:
    made = [record(seed=seed, score=score) for seed, score in enumerate((0.7, 0.8, 0.9))]
    row = rows(made)["head"]
    half = 4.302652729911275 * 0.1 / math.sqrt(3)
    found = [row[f"score_{what}"] for what in ("mean", "std", "ci95_low", "ci95_high")]
    assert found == pytest.approx([0.8, 0.1, 0.8 - half, 0.8 + half])
    assert (row["n_seeds"], row["n_failed"], row["status"], row["metric"]) == (3, 0, "ok", "matthews")
    assert (row["task"], row["model"], row["profile"], row["preset"]) == ("sms-spam", "minilm-l6", "cpu", "quick")
    assert (row["schema_version"], row["bench_version"]) == (6, "0.1.0")


def test_a_row_says_who_tuned_it_from_how_much() -> None:
    recipe = Recipe(learning_rate=1, epochs=1, chosen_by="tune", trials=7, trial_examples=8064)
    by_hand = recipe.model_copy(update={"chosen_by": "me", "trials": None, "trial_examples": None})
    found = rows([failed("a"), record("a", 1, recipe=recipe), record("b", recipe=by_hand), record("c")])
    keys = ("recipe_chosen_by", "tuning_trials", "tuning_examples")
    assert [found["a"][key] for key in keys] == ["tune", 7, 8064]
    assert [found["b"][key] for key in keys] == ["me", None, None]
    assert [found["c"][key] for key in keys] == [None, None, None]
    told = legend(aggregated([record(name, recipe=recipe) for name in "ab"]))
    assert told.endswith("Recipes chosen from 7 trials of 8,064 examples.")
    told = legend(aggregated([record("a", recipe=recipe), record("b", recipe=by_hand), record("c", recipe=by_hand)]))
    assert "Recipes chosen by hand (2 rows); from 7 trials of 8,064 examples (1 row)." in told


def test_one_seed_makes_no_claim() -> None:
    row = rows([record(score=0.7)])["head"]
    assert row["score_mean"] == 0.7
    assert row["score_std"] is row["score_ci95_low"] is row["score_ci95_high"] is row["rank_group"] is None


def test_costs_are_medians_over_what_succeeded() -> None:
    made = [
        record(
            seed=seed,
            timeline={"train": seconds, "total": 99.0},
            speed=speed(train_examples_per_second=rate),
            memory=memory(train_peak_mib=peak),
            adapter_bytes=size,
        )
        for seed, seconds, rate, peak, size in [
            (0, 1.0, 9.0, 5.0, 10),
            (1, 100.0, 1.0, None, 12),
            (2, 2.0, 8.0, 7.0, 11),
        ]
    ]
    row = rows([*made, failed(seed=3, timeline={"train": 1e6}, adapter_bytes=10**6)])["head"]
    assert (row["train_seconds"], row["train_examples_per_second"], row["adapter_bytes"]) == (2.0, 8.0, 11)
    assert row["peak_train_memory_mib"] == 6.0
    assert row["memory_kind"] == "cpu-rss"


def test_unknown_is_empty_and_zero_is_zero() -> None:
    made = [record("a"), record("b", score=0.0, parameters=parameters(trainable=0), speed=speed(), memory=memory())]
    lines = {line["method"]: line for line in read(to_csv(aggregated(made)))}
    unknown = ["trainable_params", "adapter_bytes", "peak_train_memory_mib", "memory_kind", "step_p50_ms", "score_std"]
    assert [lines["a"][key] for key in unknown] == [""] * len(unknown)
    assert (lines["b"]["trainable_params"], lines["b"]["score_mean"]) == ("0", "0.0")
    assert lines["b"]["peak_eval_memory_mib"] == ""


def test_whole_numbers_stay_whole_beside_unknown_ones() -> None:
    made = [record("a", parameters=parameters(trainable=4608), adapter_bytes=10**10), failed("b"), record("a", 1)]
    for line in (read(to_csv(make(made)))[0] for make in (aggregated, per_cell)):
        assert (line["trainable_params"], line["adapter_bytes"]) == ("4608", "10000000000")
    board = read(to_csv(aggregated(made)))
    assert [line["n_failed"] for line in board] == ["0", "1"]
    assert [line["rank_group"] for line in board] == ["1", ""]


def test_a_score_that_is_not_defined_is_unknown_and_the_cell_still_counts() -> None:
    row = rows([record(score=None)])["head"]
    assert (row["score_mean"], row["n_seeds"], row["status"]) == (None, 1, "ok")
    assert " -" in leaderboard_table(aggregated([record(score=None)]))


# Failures


def test_failures_are_rows() -> None:
    found = rows([failed("a", 0, "oom"), failed("a", 1, "oom"), failed("a", 2, "error"), failed("b", 0, "skipped")])
    assert (found["a"]["n_seeds"], found["a"]["n_failed"], found["a"]["status"]) == (0, 3, "1 error, 2 oom")
    assert found["a"]["score_mean"] is found["a"]["rank_group"] is found["a"]["metric"] is None
    assert (found["b"]["n_failed"], found["b"]["status"]) == (0, "1 skipped")
    table = leaderboard_table(aggregated([failed("a", 0, "oom"), record("c")]))
    assert "1 oom" in table


def test_what_failed_does_not_enter_the_score() -> None:
    mixed = [record(score=0.8), failed(seed=1, scores={"matthews": 0.0}, metric="matthews")]
    row = rows(mixed)["head"]
    assert (row["score_mean"], row["n_seeds"], row["n_failed"], row["status"]) == (0.8, 1, 1, "1 oom")


@pytest.mark.parametrize("status", ["error", "oom", "timeout", "interrupted"])
def test_every_kind_of_failure_counts(status: str) -> None:
    row = rows([failed(status=status)])["head"]
    assert (row["n_failed"], row["status"]) == (1, f"1 {status}")
    line = per_cell([failed(status=status)]).to_dict("records")[0]
    assert (line["status"], line["reason"], line["score"]) == (status, f"a case of {status}", None)


# Extra tests


def with_extra(method: str, seed: int, score: float, harder: float | None, **changes: Any) -> Record:
    extra = ExtraTest(scores={"matthews": harder}, constant_score=0.125, predictions=[1], references=[0])
    return record(method, seed, score, extra_tests={"harder": extra}, **changes)


def test_an_extra_test_is_a_row_with_the_same_costs_and_its_own_score() -> None:
    made = [with_extra("a", 0, 0.9, 0.25, speed=speed(), memory=memory()), with_extra("a", 1, 0.7, 0.75)]
    first, second = aggregated(made).to_dict("records")
    assert (first["task"], first["score_mean"]) == ("sms-spam", pytest.approx(0.8))
    assert (second["task"], second["score_mean"]) == ("sms-spam/harder", 0.5)
    own = {"task", *(name for name in COLUMNS if name.startswith("score_"))}
    assert {name: second[name] for name in COLUMNS if name not in own} == {
        name: first[name] for name in COLUMNS if name not in own
    }
    cells = per_cell(made).to_dict("records")
    assert [(cell["cell"], cell["task"], cell["seed"], cell["score"], cell["constant_score"]) for cell in cells] == [
        (made[0].id, "sms-spam", 0, 0.9, None),
        (made[1].id, "sms-spam", 1, 0.7, None),
        (made[0].id, "sms-spam/harder", 0, 0.25, 0.125),
        (made[1].id, "sms-spam/harder", 1, 0.75, 0.125),
    ]


def test_methods_are_ranked_on_an_extra_test_by_their_scores_there() -> None:
    made = [
        with_extra(method, seed, score * (1 + seed / 1000), harder * (1 - seed**2 / 1000))
        for method, score, harder in (("a", 0.9, 0.1), ("b", 0.5, 0.8))
        for seed in range(4)
    ]
    lines = aggregated(made).to_dict("records")
    assert [(line["task"], line["method"], line["rank_group"]) for line in lines] == [
        ("sms-spam", "a", 1),
        ("sms-spam", "b", 2),
        ("sms-spam/harder", "b", 1),
        ("sms-spam/harder", "a", 2),
    ]


def test_a_cell_that_failed_failed_on_the_extra_test_too() -> None:
    made = [with_extra("a", 0, 0.9, 0.3), failed("a", 1, "oom"), failed("b", 0, "timeout"), failed("c", 0, "skipped")]
    made += [record("d", 0, 0.4), record("a", 0, 0.1, of={"task": "other"}), failed("a", 1, of={"task": "other"})]
    lines = aggregated(made).to_dict("records")
    found = {line["method"]: line for line in lines if line["task"] == "sms-spam/harder"}
    assert {method: line["status"] for method, line in found.items()} == {
        "a": "1 oom",
        "b": "1 timeout",
        "c": "1 skipped",
        # and none of d: it was run before the task had that test
    }
    assert (found["a"]["score_mean"], found["a"]["n_seeds"], found["a"]["n_failed"]) == (0.3, 1, 1)
    assert {line["task"] for line in lines} == {"sms-spam", "sms-spam/harder", "other"}


def test_the_order_of_records_with_extra_tests_does_not_matter() -> None:
    made = [with_extra("a", seed, 0.9, 0.3) for seed in range(3)] + [failed("b", seed) for seed in range(3)]
    for make in (aggregated, per_cell):
        assert to_csv(make(made)) == to_csv(make(made[::-1]))


# Order and groups


def test_rows_go_from_best_to_worst_within_their_group() -> None:
    lines = aggregated(board()).to_dict("records")
    order = [(line["task"], line["method"], line["method_params"]) for line in lines]
    assert order == [
        ("rt-polarity", "pasta", ""),
        ("sms-spam", "bitfit", ""),
        ("sms-spam", "full", ""),
        ("sms-spam", "pasta", ""),
        ("sms-spam", "lora", "r=4"),
        ("sms-spam", "lora", ""),
        ("sms-spam", "head", ""),
    ]
    ranks = {(line["task"], line["method"], line["method_params"]): line["rank_group"] for line in lines}
    assert ranks["sms-spam", "pasta", ""] == 1
    assert ranks["sms-spam", "lora", "r=4"] == ranks["sms-spam", "lora", ""] == 2
    assert ranks["sms-spam", "bitfit", ""] is ranks["sms-spam", "full", ""] is ranks["sms-spam", "head", ""] is None


def test_lower_may_be_better() -> None:
    made = [
        record(method, seed, score + seed / 1000 + seed**2 / 10_000, metric="matthews", higher_is_better=False)
        for method, score in (("a", 0.9), ("b", 0.1))
        for seed in range(4)
    ]
    made[0] = record("a", 0, 0.9003, higher_is_better=False)
    found = rows(made)
    assert list(found) == ["b", "a"]
    assert (found["b"]["rank_group"], found["a"]["rank_group"]) == (1, 2)


def test_profiles_models_and_presets_are_never_merged() -> None:
    other_profile = PROFILE.model_copy(update={"name": "cpu-2w", "workers": 2})
    made = [
        record(score=0.1),
        record(score=0.2, of={"profile": other_profile}),
        record(score=0.3, of={"model": "other"}),
        record(score=0.4, of={"preset": "full"}),
        record(score=0.5, of={"task": "other"}),
    ]
    lines = aggregated(made).to_dict("records")
    assert sorted(line["score_mean"] for line in lines) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert all(line["n_seeds"] == 1 for line in lines)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"workers": 1, "exclusive": True}, True),
        ({"workers": 8, "exclusive": True}, True),  # each with a GPU and cores of its own
        ({"workers": 2, "exclusive": False}, False),
        ({"workers": 1}, True),  # schema versions 1 to 3 did not say
        ({"workers": 2}, False),
    ],
)
def test_the_throughput_of_workers_that_shared_a_machine_is_left_out(fields: dict[str, Any], shown: bool) -> None:
    made = [record(speed=speed(**fields), timeline={"train": 2.0})]
    for table in (aggregated(made), per_cell(made)):
        (line,) = table.to_dict("records")
        assert line["train_seconds"] == 2.0
        assert line["train_examples_per_second"] == 50.0 if shown else pd.isna(line["train_examples_per_second"])


# What belongs together

LATER = "2026-06-01T00:00:00.000+00:00"


@pytest.mark.parametrize(
    "of",
    [
        {"code": "newer"},
        {"task_revision": "tree-sha256:cc"},
        {"model_revision": "tree-sha256:cc"},
        {"budget": Budget(train_examples=99)},
        {"recipe": {"epochs": 9}},
        {"profile": PROFILE.model_copy(update={"micro_batch_size": 16})},
    ],
)
def test_numbers_of_two_versions_are_never_averaged(of: dict[str, Any]) -> None:
    """The version that ran last is shown, with its seeds alone."""
    made = [record(seed=seed, score=0.1) for seed in range(3)]
    newer = record(seed=1, score=0.9, of=of, finished_at=LATER)
    row = rows([*made, newer])["head"]
    assert (row["score_mean"], row["n_seeds"]) == (0.9, 1)
    assert current([newer, *made]) == [newer]


def test_a_text_for_people_is_no_other_version() -> None:
    reworded = PROFILE.model_copy(update={"summary": "said differently"})
    made = [record(seed=0, score=0.2), record(seed=1, score=0.4, of={"profile": reworded}, finished_at=LATER)]
    assert rows(made)["head"]["n_seeds"] == 2


def test_of_two_records_of_a_seed_the_later_counts() -> None:
    first = record(score=0.1, of={"params": {"dead": 1}})
    second = record(score=0.9, of={"params": {"dead": 2}}, finished_at=LATER)
    assert current([second, first]) == [second]


# Text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_text_is_a_formula(text: str) -> None:
    made = [failed(reason=text), record(of={"variant": text, "task": text})]
    assert all(line["method_params"] in ("", f"'{text}") for line in read(to_csv(aggregated(made))))
    assert f"'{text}" in [line["reason"] for line in read(to_csv(per_cell(made)))]
    assert sum(line["task"] == f"'{text}" for line in read(to_csv(aggregated(made)))) == 1


@pytest.mark.parametrize(("text", "written"), [("\r=1", "'\n=1"), ("50 %\rdone", "50 %\ndone"), ("a\r\nb", "a\nb")])
def test_a_carriage_return_does_not_end_a_line(text: str, written: str) -> None:
    assert [line["reason"] for line in read(to_csv(per_cell([failed(reason=text)])))] == [written]


@pytest.mark.parametrize("text", ["", "r=4", 'a "quoted", text', "two\nlines", "é", "'"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert [line["reason"] for line in read(to_csv(per_cell([failed(reason=text)])))] == [text]


def test_numbers_below_zero_are_numbers() -> None:
    assert read(to_csv(aggregated([record(score=-0.5)])))[0]["score_mean"] == "-0.5"


def test_the_csv_of_a_results_folder_can_be_read_with_pandas(tmp_path: Path) -> None:
    file = tmp_path / "board.csv"
    file.write_text(to_csv(aggregated(board())), encoding="utf-8", newline="")
    frame = pd.read_csv(file)
    assert list(frame.columns) == list(COLUMNS)
    assert frame["n_failed"].tolist() == [0, 0, 2, 0, 0, 0, 0]


def test_the_terminals_table_shows_score_group_and_state() -> None:
    lines = leaderboard_table(aggregated(board())).splitlines()
    pasta = next(line for line in lines if "sms-spam" in line and "pasta" in line)
    assert pasta.split() == [
        "sms-spam",
        "pasta",
        "matthews",
        "0.9010",
        "±",
        "0.0010",
        "1",
        "10",
        "1.000",
        "100",
        "50",
        "3",
        "ok",
    ]
    assert any("lora[r=4]" in line for line in lines)
    assert "Profile: cpu." in legend(aggregated(board()))
