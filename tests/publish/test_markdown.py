"""Leaderboards in Markdown files: their numbers are those of the CSV files, and a change is detected."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commandline import Bench
from made import memory, parameters, record, speed

from bench.publish import markdown
from bench.publish.folder import SUMS, changed, contents, to_folder
from bench.records.record import Record

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- leaderboard:begin results/board -->", "<!-- leaderboard:end -->"


def records(methods: int = 3) -> list[Record]:
    made = []
    for at in range(methods):
        for task, metric in (("sms-spam", "matthews"), ("rt-polarity", "accuracy")):
            for seed in range(3):
                costs: dict[str, Any] = {
                    "parameters": parameters(trainable=4 + 7**at, method=7**at, share_percent=0.0123 * 2**at),
                    "memory": memory(train_peak_mib=1000.0 + 37 * at),
                    "speed": speed(),
                    "of": {"task": task},
                    "metric": metric,
                    "scores": {metric: 0.51 + 0.0321 * at + 0.0017 * seed * (at + 1)},
                }
                made.append(record(f"m{at}", seed, **costs))
    return made


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    to_folder(tmp_path / "results" / "board", contents(records()))
    file = tmp_path / "README.md"
    file.write_text(f"# Mine\n\n{BEGIN}\n{END}\n\nAfter.\n", encoding="utf-8")
    return file


def cells(file: Path) -> list[list[str]]:
    rows = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def generated(folder: Path, kind: str, lines: list[dict[str, str]]) -> list[str]:
    """The table's lines in a block of these rows; of pairs, against m. The method `whole` has rank 1."""
    board = {"model": "tiny", "profile": "p", "preset": "s"}
    rank = {"method": "whole", "average_rank": "1", **board}
    for name, rows in ((kind, [board | line for line in lines]), ("overall", [rank])):
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    file = folder / "page.md"
    against = " against m" if kind == "pairs" else ""
    file.write_text(f"<!-- {kind}:begin .{against} -->\n<!-- {kind}:end -->\n", encoding="utf-8")
    return [line for line in markdown.load(file).updated.splitlines() if line.startswith("|")]


def test_every_number_is_from_the_csv_files(readme: Path, bench: Bench) -> None:
    assert bench("leaderboard", "--into", readme).code == 0
    head, _, *rows = cells(readme)
    with (readme.parent / "results/board/leaderboard.csv").open(newline="") as lines:
        board = {(line["method"], line["task"]): line for line in csv.DictReader(lines)}
    with (readme.parent / "results/board/overall.csv").open(newline="") as lines:
        ranks = {line["method"]: line["average_rank"] for line in csv.DictReader(lines)}
    assert head == ["method", "share, %", "rt-polarity, accuracy", "sms-spam, matthews", "mean", "rank", "s", "MiB"]
    assert [row[0] for row in rows] == ["m2", "m1", "m0"]  # the best first
    for method, share, polarity, spam, mean, rank, _, mib in rows:
        for cell, task in ((polarity, "rt-polarity"), (spam, "sms-spam")):
            line = board[method, task]
            assert cell == f"{float(line['score_mean']):.4f} ± {float(line['score_std']):.4f}"
        line = board[method, "sms-spam"]
        assert share == f"{float(line['trainable_share_percent']):.3f}"
        assert rank == f"{float(ranks[method]):.2f}"
        assert mib == f"{float(line['peak_train_memory_mib']):,.0f}"
        both = [float(board[method, task]["score_mean"]) for task in ("rt-polarity", "sms-spam")]
        assert mean == f"{sum(both) / 2:.4f}"
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"# Mine\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nAfter.\n")


def test_a_method_without_all_tasks_has_no_mean_and_is_last(tmp_path: Path) -> None:
    lines = [
        {"method": "half", "task": "sms-spam", "score_mean": "0.99", "train_seconds": "7"},
        {"method": "whole", "task": "sms-spam", "score_mean": "0.5", "train_seconds": "10"},
        {"method": "whole", "task": "rt-polarity", "score_mean": "0.7", "train_seconds": "31"},
        {"method": "failed", "task": "sms-spam"},
        {"method": "failed", "task": "rt-polarity"},
    ]
    names = ("method", "method_params", "task", "metric", "score_mean", "score_std", "train_seconds",
             "trainable_share_percent", "peak_train_memory_mib")  # fmt: skip
    block = generated(tmp_path, "leaderboard", [{**dict.fromkeys(names, ""), **line} for line in lines])
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in block[2:]]
    assert rows == [  # method, share, rt-polarity, sms-spam, mean, rank, seconds, MiB
        ["whole", "–", "0.7000", "0.5000", "0.6000", "1.00", "20", "–"],
        ["failed", "–", "–", "–", "–", "–", "–", "–"],
        ["half", "–", "–", "0.9900", "–", "–", "7", "–"],
    ]


def test_check_detects_a_changed_number_plot_and_folder(readme: Path, bench: Bench) -> None:
    before = readme.read_text(encoding="utf-8")
    assert bench("leaderboard", "--into", readme, "--check").code == 1
    assert readme.read_text(encoding="utf-8") == before  # nothing was written
    assert not (readme.parent / "docs").exists()
    bench("leaderboard", "--into", readme)
    done = bench("leaderboard", "--into", readme, "--check")
    assert (done.code, done.out) == (0, "")

    right = readme.read_text(encoding="utf-8")
    number = cells(readme)[2][4]
    readme.write_text(right.replace(number, f"{float(number) + 0.01:.4f}"), encoding="utf-8")
    done = bench("leaderboard", "--into", readme, "--check")
    assert done.code == 1
    assert done.out.startswith("Stale: ")
    assert done.out.count("\n") == 1
    readme.write_text(right, encoding="utf-8")

    plot = readme.parent / "docs" / "leaderboard-board.svg"
    drawing = plot.read_text(encoding="utf-8")
    plot.unlink()
    assert markdown.load(readme).stale() == [plot]
    plot.write_text(drawing.replace("data sha256:", "data sha256:0"), encoding="utf-8")
    assert markdown.load(readme).stale() == [plot]

    table = readme.parent / "results/board/leaderboard.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("matthews", "accuracy"), encoding="utf-8")
    done = bench("leaderboard", "--into", readme, "--check")
    assert done.code == 2
    assert "leaderboard.csv differs from SHA256SUMS" in done.err


def test_the_same_folder_gives_the_same_bytes(readme: Path) -> None:
    first, second = markdown.load(readme), markdown.load(readme)
    assert first.updated == second.updated
    assert [plot.draw() for plot in first.plots.values()] == [plot.draw() for plot in second.plots.values()]


def test_differences_of_all_methods_from_one(readme: Path, bench: Bench) -> None:
    readme.write_text("<!-- pairs:begin results/board against m1 -->\n<!-- pairs:end -->\n", encoding="utf-8")
    assert bench("leaderboard", "--into", readme).code == 0
    assert bench("leaderboard", "--into", readme, "--check").code == 0
    head, _, *rows = cells(readme)
    assert head == ["less m1", "rt-polarity, accuracy", "sms-spam, matthews", "mean"]
    assert [row[0] for row in rows] == ["m2", "m0"]
    with (readme.parent / "results/board/pairs.csv").open(newline="") as lines:
        pairs = {(line["method_a"], line["method_b"], line["task"]): line for line in csv.DictReader(lines)}
    for method, polarity, spam, mean in rows:
        key, sign = (("m2", "m1"), 1) if method == "m2" else (("m1", "m0"), -1)
        halves = []
        for shown, task in ((polarity, "rt-polarity"), (spam, "sms-spam")):
            line = pairs[(*key, task)]
            value = 100 * sign * float(line["difference"])
            ends = sorted(100 * sign * float(line[end]) for end in ("ci95_low", "ci95_high"))
            bold = "**" if 2 * float(line["p_value"]) < 0.05 else ""  # two comparisons, both or none told apart
            assert shown == f"{bold}{value:+.1f}{bold} ({ends[0]:+.1f} to {ends[1]:+.1f})"
            halves.append((ends[1] - ends[0]) / 2)
        half = (halves[0] ** 2 + halves[1] ** 2) ** 0.5 / 2
        assert (
            mean == f"{value:+.1f} ({value - half:+.1f} to {value + half:+.1f})"
        )  # both tasks' scores are the same here
    assert any("**" in shown for row in rows for shown in row)  # or bold was not tried


def test_significance_is_corrected_for_the_comparisons_with_the_one_method(tmp_path: Path) -> None:
    """Worked by hand: of a task's three p, 0.02 and 0.03 are of pairs with m, whose smallest is doubled."""
    common = {"task": "t", "metric": "f1", "difference": "0.1", "ci95_low": "0.05", "ci95_high": "0.15"}
    lines = [
        {"method_a": "m", "method_b": "below", "p_value": "0.02", "p_holm": "0.06", **common},
        {"method_a": "above", "method_b": "m", "p_value": "0.03", "p_holm": "0.06", **common},
        {"method_a": "above", "method_b": "below", "p_value": "0.04", "p_holm": "0.06", **common},
    ]
    _, _, above, below = generated(tmp_path, "pairs", lines)
    assert above == "| above | **+10.0** (+5.0 to +15.0) | +10.0 (+5.0 to +15.0) |"
    assert below == "| below | **-10.0** (-15.0 to -5.0) | -10.0 (-15.0 to -5.0) |"
    # A third comparison with m: 3 x 0.02 is not significant.
    third = {"method_a": "m", "method_b": "third", "p_value": "0.9", "p_holm": "0.9", **common}
    assert "**" not in "".join(generated(tmp_path, "pairs", [*lines, third]))
    # One without a second seed is no comparison, whatever its p: neither significant nor counted.
    alone = third | {"p_value": "0.001", "p_holm": ""}
    assert "".join(generated(tmp_path, "pairs", [*lines, alone])).count("**") == 4
    assert generated(tmp_path, "pairs", [alone])[2] == "| third | -10.0 (-15.0 to -5.0) | -10.0 (-15.0 to -5.0) |"


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        ("pairs:begin results/board against m7", "compares no method 'm7'; it has: m0, m1, m2"),
        ("pairs:begin results/board", "and not with"),
        ("leaderboard:begin results/board against m1", "and not with"),
    ],
)
def test_a_block_of_pairs_names_the_method(begin: str, reason: str, readme: Path, bench: Bench) -> None:
    kind = begin.partition(":")[0]
    readme.write_text(f"<!-- {begin} -->\n<!-- {kind}:end -->\n", encoding="utf-8")
    done = bench("leaderboard", "--into", readme)
    assert done.code == 2
    assert reason in done.err


@pytest.mark.parametrize(
    "text", [f"{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n", "<!-- leaderboard:begin nowhere -->\n" + END, "no block"]
)
@pytest.mark.parametrize("check", [(), ("--check",)])
def test_a_broken_or_missing_block_is_one_sentence(
    text: str, check: tuple[str, ...], readme: Path, bench: Bench
) -> None:
    readme.write_text(text, encoding="utf-8")
    done = bench("leaderboard", "--into", readme, *check)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    assert readme.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("wrong", [("--check",), ("x", "--into", "README.md"), ("--into", "README.md", "--json")])
def test_options_that_do_not_go_together(wrong: tuple[str, ...], bench: Bench) -> None:
    assert bench("leaderboard", *wrong).code == 2


def test_a_record_that_the_hashes_do_not_list_is_a_change(readme: Path) -> None:
    folder = readme.parent / "results" / "board"
    assert changed(folder) == []
    (folder / "records" / "more.json").write_text("{}", encoding="utf-8")
    assert changed(folder) == ["records/more.json"]


def test_this_repositorys_own_files_are_up_to_date() -> None:
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        assert markdown.load(file).stale() == []
    for folder in (path.parent for path in sorted((ROOT / "results").glob(f"*/{SUMS}"))):
        assert changed(folder) == []
