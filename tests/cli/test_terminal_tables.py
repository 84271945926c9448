"""Tables for the terminal."""

from __future__ import annotations

import pytest
from made import failed, memory, parameters, record, speed

from bench.cli.terminal_tables import cells_table, leaderboard_table, legend, pairs_table
from bench.leaderboard.tables import Tables
from bench.plugins.method import Recipe
from bench.records.record import Record
from bench.text import text_table


def lines(*records: Record) -> list[dict[str, object]]:
    return list(Tables(records).lines("leaderboard"))


def test_the_leaderboard_shows_score_group_costs_and_status() -> None:
    costs = {"parameters": parameters(), "speed": speed(), "memory": memory()}
    made = lines(
        *(record("pasta", seed, 0.9 + seed / 1000, **costs) for seed in range(3)),
        record("lora", 0, None, of={"variant": "r=4"}),
        failed("head", 0, "oom"),
    )
    shown = leaderboard_table(made).splitlines()
    (pasta,), (lora,), (head,) = ([line for line in shown if name in line] for name in ("pasta", "lora[r=4]", "head"))
    costs_shown = ["10", "1.000", "100", "50"]  # trained, share, MiB, examples/s
    assert pasta.split() == ["sms-spam", "pasta", "matthews", "0.9010", "±", "0.0010", "1", *costs_shown, "3", "ok"]
    assert lora.split()[:4] == ["sms-spam", "lora[r=4]", "matthews", "-"]
    assert head.endswith("1 oom")
    assert "Profile: cpu." in legend(made)
    assert leaderboard_table([]) == "No records."
    assert "unknown" in legend([])


def test_what_differs_between_rows_is_shown() -> None:
    made = [record(name, of=of) for name in "ab" for of in ({"model": "one"}, {"model": "other", "pooling": "mean"})]
    tables = Tables(made)
    for which, show in (("leaderboard", leaderboard_table), ("cells", cells_table), ("pairs", pairs_table)):
        head, _, *rows = show(list(tables.lines(which))).splitlines()[:4]
        assert "model" in head.split(), which
        assert "pooling" in head.split()
        assert not {"profile", "preset"} & set(head.split())
        assert all("one  " in row or "other  " in row for row in rows)
        alone = show(list(Tables([record(name) for name in "ab"]).lines(which))).splitlines()[0]
        assert "model" not in alone.split()


def test_a_table_is_wrapped_to_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"name": "pasta", "count": "22,713,216", "summary": "one trained vector per special token " * 3}]
    assert len(text_table(rows).splitlines()) == 3
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    lines = text_table(rows, ("left", "right", "left")).splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60
    assert "22,713,216" in lines[2]


def test_the_legend_says_how_rows_were_tuned() -> None:
    recipe = Recipe(learning_rate=1, epochs=1, chosen_by="tune", trials=7, trial_examples=8064)
    by_hand = recipe.model_copy(update={"chosen_by": "me", "trials": None, "trial_examples": None})
    tuned = legend(lines(*(record(name, recipe=recipe) for name in "ab")))
    assert tuned.endswith("Recipes: tuned by 7 trials of 8,064 examples.")
    assert legend(lines(failed("a"))).endswith("\nProfile: cpu.")
    mixed = legend(lines(record("a", recipe=recipe), *(record(name, recipe=by_hand) for name in "bc")))
    assert "Recipes: not tuned for this budget (2 rows); tuned by 7 trials of 8,064 examples (1 row)." in mixed
