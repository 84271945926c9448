"""Leaderboards in Markdown files: their numbers are those of the CSV files, and a change is detected."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pandas as pd
import pytest
from commandline import Bench
from made import memory, parameters, record, speed

from bench.publish import markdown
from bench.publish.folder import SUMS, changed, contents, to_folder
from bench.records.record import Record

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- leaderboard:begin results/board -->", "<!-- leaderboard:end -->"


def trained(at: int, task: str, metric: str, seed: int) -> Record:
    costs = {"memory": memory(train_peak_mib=1000.0 + 37 * at), "speed": speed()}
    size = parameters(trainable=4 + 7**at, method=7**at, share_percent=0.0123 * 2**at)
    scores = {metric: 0.51 + 0.0321 * at + 0.0017 * seed * (at + 1)}
    return record(f"m{at}", seed, of={"task": task}, metric=metric, scores=scores, parameters=size, **costs)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, tasks = tmp_path_factory.mktemp("published") / "board", {"sms-spam": "matthews", "rt-polarity": "accuracy"}
    to_folder(
        folder, contents([trained(at, *task, seed) for at in range(3) for task in tasks.items() for seed in range(3)])
    )
    return folder


@pytest.fixture
def readme(published: Path, tmp_path: Path) -> Path:
    shutil.copytree(published, tmp_path / "results" / "board")
    file = tmp_path / "README.md"
    file.write_text(f"# Mine\n\n{BEGIN}\n{END}\n\nAfter.\n", encoding="utf-8")
    return file


def cells(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def csv_rows(readme: Path, name: str) -> list[dict[str, str]]:
    with (readme.parent / "results/board" / name).open(newline="") as lines:
        return list(csv.DictReader(lines))


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
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"# Mine\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nAfter.\n")
    head, _, *rows = cells(text)
    board = {(line["method"], line["task"]): line for line in csv_rows(readme, "leaderboard.csv")}
    ranks = {line["method"]: line["average_rank"] for line in csv_rows(readme, "overall.csv")}
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
    assert cells("\n".join(block[2:])) == [  # method, share, rt-polarity, sms-spam, mean, rank, seconds, MiB
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
    number = cells(right)[2][4]
    readme.write_text(right.replace(number, f"{float(number) + 0.01:.4f}"), encoding="utf-8")
    done = bench("leaderboard", "--into", readme, "--check")
    assert done.code == 1
    assert done.out.startswith("Stale: ")
    assert done.out.count("\n") == 1
    readme.write_text(right, encoding="utf-8")

    plot = readme.parent / "docs" / "leaderboard-board.svg"
    drawing = plot.read_text(encoding="utf-8")
    assert markdown.load(readme).plots[plot].draw() == drawing  # the same bytes each time
    plot.unlink()
    assert markdown.load(readme).stale() == [plot]
    plot.write_text(drawing.replace("data sha256:", "data sha256:0"), encoding="utf-8")
    assert markdown.load(readme).stale() == [plot]

    table = readme.parent / "results/board/leaderboard.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("matthews", "accuracy"), encoding="utf-8")
    done = bench("leaderboard", "--into", readme, "--check")
    assert done.code == 2
    assert "leaderboard.csv differs from SHA256SUMS" in done.err


def test_differences_of_all_methods_from_one(readme: Path, bench: Bench) -> None:
    readme.write_text("<!-- pairs:begin results/board against m1 -->\n<!-- pairs:end -->\n", encoding="utf-8")
    assert bench("leaderboard", "--into", readme).code == 0
    assert bench("leaderboard", "--into", readme, "--check").code == 0
    head, _, *rows = cells(readme.read_text(encoding="utf-8"))
    assert head == ["less m1", "rt-polarity, accuracy", "sms-spam, matthews", "mean"]
    assert [row[0] for row in rows] == ["m2", "m0"]
    pairs = {(line["method_a"], line["method_b"], line["task"]): line for line in csv_rows(readme, "pairs.csv")}
    for method, polarity, spam, mean in rows:
        key, sign = (("m2", "m1"), 1) if method == "m2" else (("m1", "m0"), -1)
        halves = []
        for shown, task in ((polarity, "rt-polarity"), (spam, "sms-spam")):
            line = pairs[(*key, task)]
            value = 100 * sign * float(line["difference"])
            ends = sorted(100 * sign * float(line[end]) for end in ("ci95_low", "ci95_high"))
            bold = "**" if 2 * float(line["p_value"]) < 0.05 else ""  # two comparisons, both or none significant
            assert shown == f"{bold}{value:+.1f}{bold} ({ends[0]:+.1f} to {ends[1]:+.1f})"
            halves.append((ends[1] - ends[0]) / 2)
        half = (halves[0] ** 2 + halves[1] ** 2) ** 0.5 / 2
        # Both tasks' scores are the same here.
        assert mean == f"{value:+.1f} ({value - half:+.1f} to {value + half:+.1f})"
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


PAIRS_END = "\n<!-- pairs:end -->\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"<!-- pairs:begin results/board against m7 -->{PAIRS_END}", "compares no method 'm7'; it has: m0, m1, m2"),
        (f"<!-- pairs:begin results/board -->{PAIRS_END}", "and not with"),
        (f"<!-- leaderboard:begin results/board against m1 -->\n{END}\n", "and not with"),
        (f"{BEGIN}\n", "has no line `<!-- leaderboard:end -->`"),
        (f"{BEGIN}\n{BEGIN}\n{END}\n", "has no line `<!-- leaderboard:end -->`"),
        (f"<!-- leaderboard:begin nowhere -->\n{END}", "cannot be read"),
        ("no block", "has no block"),
    ],
)
def test_a_broken_or_missing_block_is_one_sentence(text: str, reason: str, readme: Path, bench: Bench) -> None:
    readme.write_text(text, encoding="utf-8")
    for check in ((), ("--check",)):
        done = bench("leaderboard", "--into", readme, *check)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert done.err.startswith("Error: ")
        assert reason in done.err
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
