"""From records to the leaderboard and the table of cells: columns, numbers, failures, extra tests, order and bytes."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import PROFILE, failed, memory, parameters, record, speed

from bench.grid.suites import Budget
from bench.leaderboard.columns import COLUMNS, names
from bench.leaderboard.files import csv_of
from bench.leaderboard.rows import current
from bench.leaderboard.shown import shown
from bench.leaderboard.tables import Tables
from bench.plugins.method import Recipe
from bench.records.record import SCHEMA_VERSION, ExtraTest, Record

DESIGN = """
rank_group, method, method_params, task, model, profile, preset, metric,
score_mean, score_std, score_ci95_low, score_ci95_high, n_seeds, n_failed, status, method_params_count,
trainable_params, trainable_share_percent, trainable_share_with_head_percent, adapter_bytes, peak_train_memory_mib,
peak_eval_memory_mib, memory_kind, train_examples_per_second, train_tokens_per_second, eval_examples_per_second,
step_p50_ms, step_p95_ms, train_seconds, recipe_chosen_by, tuning_trials, tuning_examples, schema_version,
bench_version, score_median, n_collapsed, pooling, letters
"""
BOTH: tuple[str, ...] = ("leaderboard", "cells")
LATER = "2026-06-01T00:00:00.000+00:00"


def lines(records: Iterable[Record], name: str = "leaderboard") -> list[dict[str, Any]]:
    return list(Tables(records).lines(name))


def rows(records: list[Record]) -> dict[str, dict[str, Any]]:
    """The leaderboard's lines by method, with its parameters where it has some."""
    return {
        line["method"] + (f"[{line['method_params']}]" if line["method_params"] else ""): line
        for line in lines(records)
    }


def text(records: Iterable[Record], name: str = "leaderboard") -> str:
    tables = Tables(records)
    return csv_of(tables.lines(name), tables.columns(name))


def read(records: Iterable[Record], name: str = "leaderboard") -> list[dict[str, str]]:
    """The lines of a table's CSV, as a reader gets them."""
    return list(csv.DictReader(io.StringIO(text(records, name), newline="")))


def varied() -> list[Record]:
    """Two tasks, methods of which some fail, one with a variant, over three seeds; cells of older code, too."""
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


def with_extra(method: str, seed: int, score: float, harder: float | None, **changes: Any) -> Record:
    extra = ExtraTest(scores={"matthews": harder}, constant_score=0.125, predictions=[1], references=[0])
    return record(method, seed, score, extra_tests={"harder": extra}, **changes)


def with_extras() -> list[Record]:
    return [with_extra("a", seed, 0.9, 0.3) for seed in range(3)] + [failed("b", seed) for seed in range(3)]


# Columns and bytes


def test_the_columns_are_the_designs() -> None:
    assert [name.strip() for name in DESIGN.replace("\n", " ").split(",")] == list(names(COLUMNS["leaderboard"]))
    for name in BOTH:
        columns = names(COLUMNS[name])
        assert {tuple(line) for line in lines(varied(), name)} == {columns}
        assert text(varied(), name).splitlines()[0] == text([], name).strip() == ",".join(columns)


EXPECTED = {(made, name): text(made(), name) for made in (varied, with_extras) for name in BOTH}


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_change_a_byte(order: random.Random) -> None:
    for (made, name), expected in EXPECTED.items():
        records = made()
        order.shuffle(records)
        assert text(records, name) == expected


def test_csv_json_and_data_frames_have_the_same_values(tmp_path: Path) -> None:
    found = lines(varied())
    for line, row in zip(read(varied()), found, strict=True):
        for key, value in row.items():
            if value is None or isinstance(value, str):
                assert line[key] == (value or "")
            else:
                assert float(line[key]) == value  # every digit
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert Tables(varied()).frame("leaderboard").to_dict("records") == found
    frame = pd.read_csv(io.StringIO(text(varied())))
    assert frame["n_failed"].tolist() == [0, 0, 2, 0, 0, 0, 0]


def test_the_tables_of_some_records_know_no_others() -> None:
    made = [*with_extras(), record("c", 0, 0.99), record("a", 0, of={"task": "other"})]
    shown = Tables(made).only([made[0], made[3]])
    assert list(shown.lines("leaderboard")) == lines(with_extras())
    assert {line["method"] for line in shown.lines("overall")} == {"a", "b"}


# Numbers


def test_a_row_by_hand() -> None:
    row = rows([record(seed=seed, score=score) for seed, score in enumerate((0.7, 0.8, 0.9))])["head"]
    half = 4.302652729911275 * 0.1 / math.sqrt(3)
    found = [row[f"score_{what}"] for what in ("mean", "std", "ci95_low", "ci95_high")]
    assert found == pytest.approx([0.8, 0.1, 0.8 - half, 0.8 + half])
    assert (row["n_seeds"], row["n_failed"], row["status"], row["metric"]) == (3, 0, "ok", "matthews")
    assert (row["task"], row["model"], row["profile"], row["preset"]) == ("sms-spam", "minilm-l6", "cpu", "quick")
    assert (row["schema_version"], row["bench_version"]) == (SCHEMA_VERSION, "0.1.0")


def test_trainings_that_came_to_nothing_are_counted_and_their_scores_count() -> None:
    reason = "the training loss ended no lower than a constant answer's"
    made = [record("pasta", seed, score) for seed, score in enumerate((0.9, 0.8))]
    made.append(record("pasta", 2, 0.1, collapsed=reason))
    old = [record("lora", seed, 0.7, schema_version=7) for seed in range(3)]  # nobody looked
    found = rows([*made, *old])
    assert (found["pasta"]["score_mean"], found["pasta"]["score_median"]) == (pytest.approx(0.6), 0.8)
    assert (found["pasta"]["n_collapsed"], found["lora"]["n_collapsed"]) == (1, None)
    assert [line["collapsed"] for line in lines(made, "cells")] == [None, None, reason]
    text = shown("leaderboard", Tables([*made, *old]))
    assert [line for line in text.splitlines() if line.startswith("pasta") and line.endswith("ok, 1 collapsed")]


def test_a_row_says_how_it_was_tuned() -> None:
    recipe = Recipe(learning_rate=1, epochs=1, chosen_by="tune", trials=7, trial_examples=8064)
    by_hand = recipe.model_copy(update={"chosen_by": "me", "trials": None, "trial_examples": None})
    found = rows([failed("a"), record("a", 1, recipe=recipe), record("b", recipe=by_hand), record("c")])
    keys = ("recipe_chosen_by", "tuning_trials", "tuning_examples")
    assert [found["a"][key] for key in keys] == ["tune", 7, 8064]
    assert [found["b"][key] for key in keys] == ["me", None, None]
    assert [found["c"][key] for key in keys] == [None, None, None]


def test_one_seed_has_no_interval_and_no_rank_group() -> None:
    row = rows([record(score=0.7)])["head"]
    assert row["score_mean"] == 0.7
    assert row["score_std"] is row["score_ci95_low"] is row["score_ci95_high"] is row["rank_group"] is None


def test_costs_are_medians_over_the_cells_that_finished() -> None:
    measured = [(0, 1.0, 9.0, 5.0, 10), (1, 100.0, 1.0, None, 12), (2, 2.0, 8.0, 7.0, 11)]
    made = [
        record(seed=seed, timeline={"train": seconds, "total": 99.0}, speed=speed(train_examples_per_second=rate),
               memory=memory(train_peak_mib=peak), adapter_bytes=size)
        for seed, seconds, rate, peak, size in measured
    ]  # fmt: skip
    row = rows([*made, failed(seed=3, timeline={"train": 1e6}, adapter_bytes=10**6)])["head"]
    assert (row["train_seconds"], row["train_examples_per_second"], row["adapter_bytes"]) == (2.0, 8.0, 11)
    assert (row["peak_train_memory_mib"], row["memory_kind"]) == (6.0, "cpu-rss")


def test_unknown_is_empty_zero_is_zero_and_integers_stay_integers() -> None:
    made = [
        record("a"),
        record("b", score=0.0, parameters=parameters(trainable=0), speed=speed(), memory=memory()),
        record("c", parameters=parameters(trainable=4608), adapter_bytes=10**10),
        record("c", 1),
        failed("d"),
    ]
    found = {line["method"]: line for line in read(made)}
    unknown = ["trainable_params", "adapter_bytes", "peak_train_memory_mib", "memory_kind", "step_p50_ms", "score_std"]
    assert [found["a"][key] for key in unknown] == [""] * len(unknown)
    assert (found["b"]["trainable_params"], found["b"]["score_mean"]) == ("0", "0.0")
    assert found["b"]["peak_eval_memory_mib"] == ""
    cell = next(line for line in read(made, "cells") if line["method"] == "c")
    for line in (found["c"], cell):
        assert (line["trainable_params"], line["adapter_bytes"]) == ("4608", "10000000000")
    assert [(found[method]["n_failed"], found[method]["rank_group"]) for method in "cd"] == [("0", "1"), ("1", "")]
    assert read([record(score=-0.5)])[0]["score_mean"] == "-0.5"


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
    for name in BOTH:
        (line,) = lines(made, name)
        assert line["train_seconds"] == 2.0
        assert line["train_examples_per_second"] == (50.0 if shown else None)


# Failures


def test_failures_are_rows() -> None:
    found = rows([failed("a", 0, "oom"), failed("a", 1, "oom"), failed("a", 2, "error"), failed("b", 0, "skipped")])
    assert (found["a"]["n_seeds"], found["a"]["n_failed"], found["a"]["status"]) == (0, 3, "1 error, 2 oom")
    assert found["a"]["score_mean"] is found["a"]["rank_group"] is found["a"]["metric"] is None
    assert (found["b"]["n_failed"], found["b"]["status"]) == (0, "1 skipped")


@pytest.mark.parametrize("status", ["error", "oom", "timeout", "interrupted"])
def test_every_kind_of_failure_counts_and_its_score_does_not(status: str) -> None:
    made = [record(score=0.8), failed(seed=1, status=status, scores={"matthews": 0.0}, metric="matthews")]
    row = rows(made)["head"]
    assert (row["score_mean"], row["n_seeds"], row["n_failed"], row["status"]) == (0.8, 1, 1, f"1 {status}")
    line = lines([failed(status=status)], "cells")[0]
    assert (line["status"], line["reason"], line["score"]) == (status, f"a case of {status}", None)


def test_a_cell_with_an_undefined_score_finished() -> None:
    row = rows([record(score=None)])["head"]
    assert (row["score_mean"], row["n_seeds"], row["status"]) == (None, 1, "ok")


# Extra tests


def test_an_extra_test_is_a_row_with_the_same_costs_and_its_own_score() -> None:
    made = [with_extra("a", 0, 0.9, 0.25, speed=speed(), memory=memory()), with_extra("a", 1, 0.7, 0.75)]
    first, second = lines(made)
    assert (first["task"], first["score_mean"]) == ("sms-spam", pytest.approx(0.8))
    assert (second["task"], second["score_mean"]) == ("sms-spam/harder", 0.5)
    shared = [name for name in first if name != "task" and not name.startswith("score_")]
    assert [second[name] for name in shared] == [first[name] for name in shared]
    cells = lines(made, "cells")
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
    assert [(line["task"], line["method"], line["rank_group"]) for line in lines(made)] == [
        ("sms-spam", "a", 1),
        ("sms-spam", "b", 2),
        ("sms-spam/harder", "b", 1),
        ("sms-spam/harder", "a", 2),
    ]


def test_a_cell_that_failed_failed_on_the_extra_test_too() -> None:
    made = [with_extra("a", 0, 0.9, 0.3), failed("a", 1, "oom"), failed("b", 0, "timeout"), failed("c", 0, "skipped")]
    made += [record("d", 0, 0.4), record("a", 0, 0.1, of={"task": "other"}), failed("a", 1, of={"task": "other"})]
    found = {line["method"]: line for line in lines(made) if line["task"] == "sms-spam/harder"}
    # Method d ran before the task had that test.
    assert {at: line["status"] for at, line in found.items()} == {"a": "1 oom", "b": "1 timeout", "c": "1 skipped"}
    assert (found["a"]["score_mean"], found["a"]["n_seeds"], found["a"]["n_failed"]) == (0.3, 1, 1)
    assert {line["task"] for line in lines(made)} == {"sms-spam", "sms-spam/harder", "other"}


# Order and groups


def test_rows_go_from_best_to_worst_within_their_group() -> None:
    order = [(line["task"], line["method"], line["method_params"], line["rank_group"]) for line in lines(varied())]
    assert order == [
        ("rt-polarity", "pasta", "", 1),
        ("sms-spam", "bitfit", "", None),  # one seed
        ("sms-spam", "full", "", None),
        ("sms-spam", "pasta", "", 1),
        ("sms-spam", "lora", "r=4", 2),
        ("sms-spam", "lora", "", 2),
        ("sms-spam", "head", "", None),
    ]


def test_profiles_models_presets_and_poolings_are_never_merged() -> None:
    other_profile = PROFILE.model_copy(update={"name": "cpu-2w", "workers": 2})
    others = [{}, {"profile": other_profile}, {"model": "other"}, {"preset": "full"}, {"pooling": "mean"},
              {"task": "other"}]  # fmt: skip
    found = lines([record(score=at / 10, of=of) for at, of in enumerate(others, start=1)])
    assert sorted(line["score_mean"] for line in found) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert all(line["n_seeds"] == 1 for line in found)


# What belongs together


@pytest.mark.parametrize(
    "of",
    [
        {"code": "newer"},
        {"task_revision": "commit:cc"},
        {"budget": Budget(train_examples=99)},
        {"recipe": {"epochs": 9}},
        {"profile": PROFILE.model_copy(update={"micro_batch_size": 16})},
    ],
)
def test_only_the_version_that_finished_last_counts_with_its_own_seeds(of: dict[str, Any]) -> None:
    hub = {"task_source": "hub:datasets/a/b@main"}
    made = [record(seed=seed, score=0.1, of=hub) for seed in range(3)]
    newer = record(seed=1, score=0.9, of=hub | of, finished_at=LATER)
    row = rows([*made, newer])["head"]
    assert (row["score_mean"], row["n_seeds"]) == (0.9, 1)
    assert current([newer, *made]) == [newer]


def test_two_local_models_or_data_files_of_one_name_never_share_a_row() -> None:
    one, other = "tree-sha256:0123456789ab", "tree-sha256:ba9876543210"
    hard = {"extra_tests": {"hard": ExtraTest(scores={"matthews": 0.3})}}
    found = Tables([
        *(record(seed=seed, score=0.1, of={"model": "model", "model_revision": one}) for seed in range(2)),
        record(score=0.9, of={"model": "model", "model_revision": other}, finished_at=LATER),
        record(score=0.2, of={"task_revision": one, "task": "mine"}, **hard),
        record(score=0.8, of={"task_revision": other, "task": "mine"}, **hard),
    ])  # fmt: skip
    assert {(line["task"], line["model"], line["n_seeds"]) for line in found.lines("leaderboard")} == {
        ("sms-spam", "model@01234567", 2),
        ("sms-spam", "model@ba987654", 1),
        *((f"mine@{digits}{extra}", "minilm-l6", 1) for digits in ("01234567", "ba987654") for extra in ("", "/hard")),
    }
    assert {line["model"] for line in found.lines("cells")} == {"model@01234567", "model@ba987654", "minilm-l6"}
    repositories = [f"hub:datasets/{owner}/mine@{one[-12:]}!/part" for owner in "ab"]
    hub = [
        record(of={"task": "mine", "task_source": each, "task_revision": f"commit:{each[13]}1"})
        for each in repositories
    ]
    assert {line["task"] for line in Tables(hub).lines("leaderboard")} == {"mine@a1", "mine@b1"}
    of_one = found.only([record(score=0.2, of={"task_revision": one, "task": "mine"})])
    assert [line["task"] for line in of_one.lines("leaderboard")] == ["mine@01234567", "mine@01234567/hard"]


def test_a_profiles_summary_makes_no_version() -> None:
    reworded = PROFILE.model_copy(update={"summary": "said differently"})
    made = [record(seed=0, score=0.2), record(seed=1, score=0.4, of={"profile": reworded}, finished_at=LATER)]
    assert rows(made)["head"]["n_seeds"] == 2


def test_of_two_records_of_a_seed_the_later_counts() -> None:
    first = record(score=0.1, of={"params": {"dead": 1}})
    second = record(score=0.9, of={"params": {"dead": 2}}, finished_at=LATER)
    assert current([second, first]) == [second]


# Text


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_text_is_a_formula(formula: str) -> None:
    made = [failed(reason=formula), record(of={"variant": formula, "task": formula})]
    assert all(line["method_params"] in ("", f"'{formula}") for line in read(made))
    assert f"'{formula}" in [line["reason"] for line in read(made, "cells")]
    assert sum(line["task"] == f"'{formula}" for line in read(made)) == 1


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        ("\r=1", "'\n=1"),
        ("50 %\rdone", "50 %\ndone"),  # a lone carriage return would end the line
        ("a\r\nb", "a\nb"),
        *((same, same) for same in ("", "r=4", 'a "quoted", text', "two\nlines", "é", "'")),
    ],
)
def test_other_text_stays_as_it_is_but_for_carriage_returns(reason: str, written: str) -> None:
    assert [line["reason"] for line in read([failed(reason=reason)], "cells")] == [written]
