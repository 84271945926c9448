"""Leaderboards in Markdown files: their numbers are those of the tables, and a change is detected."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
from commandline import Bench
from made import failed, memory, parameters, record, speed

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


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table of a page."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()] for table in found]


def csv_rows(readme: Path, name: str) -> list[dict[str, str]]:
    with (readme.parent / "results/board" / name).open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_number_is_from_the_csv_files(readme: Path, bench: Bench) -> None:
    assert bench("leaderboard", "--into", readme).code == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"# Mine\n\n{BEGIN}\nOver 2 tasks: model minilm-l6, profile cpu, suite quick.\n\n|")
    assert text.endswith(f"{END}\n\nAfter.\n")
    (head, _, *methods), (wide, _, *rows) = tables(text)
    over = {line["method"]: line for line in csv_rows(readme, "overall.csv")}
    assert head == ["method", "mean score", "less the best", "ties", "best on", "share %", "MiB", "ex/s", "kB"]
    assert [row[0] for row in methods] == [row[0] for row in rows] == list(over) == ["m2", "m1", "m0"]
    for label, mean, less, ties, best_on, share, mib, *_ in methods:
        line = over[label]
        assert (mean, ties, best_on) == (
            f"{float(line['score_mean']):.4f}", line["letters"], line["n_not_worse_than_best"]
        )  # fmt: skip
        assert mib == f"{float(line['peak_train_memory_mib']):.0f}"
        assert share == f"{float(line['trainable_share_percent']):.3f}"
        value, low, high = (line[f"difference_to_best{end}"] for end in ("", "_ci95_low", "_ci95_high"))
        ends = (
            "" if label == "m2" else "{:+.1f} ({:+.1f}, {:+.1f})".format(*(100 * float(e) for e in (value, low, high)))
        )
        assert less == ends
    board = {(line["method"], line["task"]): line for line in csv_rows(readme, "leaderboard.csv")}
    assert wide == ["method", "share %", "rt-polarity, accuracy", "sms-spam, matthews", "mean"]
    for label, _, *scores, mean in rows:
        bold = "**" if label == "m2" else ""
        for shown, task in zip(scores, ("rt-polarity", "sms-spam"), strict=True):
            line = board[label, task]
            mean_of, std = (float(line[key]) for key in ("score_mean", "score_std"))
            assert shown == f"{bold}{mean_of:.4f}{bold} ± {std:.4f} <sup>{line['letters']}</sup>"
        assert mean == f"{bold}{float(over[label]['score_mean']):.4f}{bold} <sup>{over[label]['letters']}</sup>"


def test_a_method_without_all_tasks_has_no_mean_and_is_last(tmp_path: Path) -> None:
    made = [record("whole", seed, 0.5, of={"task": task}) for task in ("one", "two") for seed in (0, 1)]
    made += [record("half", 0, 0.99, of={"task": "two"}), failed("half", 0, of={"task": "one"})]
    made += [failed("bad", of={"task": task}) for task in ("one", "two")]
    to_folder(tmp_path / "board", contents(made))
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN.replace('results/', '')}\n{END}\n", encoding="utf-8")
    _, (_, _, *rows) = tables(markdown.load(page).updated)
    assert rows == [
        ["whole", "–", "**0.5000** ± 0.0000 <sup>a</sup>", "0.5000 ± 0.0000 <sup>a</sup>", "**0.5000** <sup>a</sup>"],
        ["half", "–", "–", "**0.9900**", "–"],
        ["bad", "–", "–", "–", "–"],
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
    number = tables(right)[0][2][1]
    readme.write_text(right.replace(number, f"{float(number) + 0.01:.4f}"), encoding="utf-8")
    done = bench("leaderboard", "--into", readme, "--check")
    assert done.code == 1
    assert done.out.startswith("Stale: ")
    assert done.out.count("\n") == 1
    readme.write_text(right, encoding="utf-8")

    plot = readme.parent / "docs" / "leaderboard-board.svg"
    drawing = plot.read_text(encoding="utf-8")
    assert markdown.load(readme).plots[plot] == drawing  # the same text each time
    plot.unlink()
    assert markdown.load(readme).stale() == [plot]
    plot.write_text(drawing.replace("m2", "m3"), encoding="utf-8")
    assert markdown.load(readme).stale() == [plot]

    table = readme.parent / "results/board/leaderboard.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("matthews", "accuracy"), encoding="utf-8")
    done = bench("leaderboard", "--into", readme, "--check")
    assert done.code == 2
    assert "leaderboard.csv differs from SHA256SUMS" in done.err


def test_differences_of_all_methods_from_one(readme: Path, bench: Bench) -> None:
    """What is bold is corrected for the comparisons with that method alone."""
    readme.write_text("<!-- pairs:begin results/board against m1 -->\n<!-- pairs:end -->\n", encoding="utf-8")
    assert bench("leaderboard", "--into", readme).code == 0
    assert bench("leaderboard", "--into", readme, "--check").code == 0
    text = readme.read_text(encoding="utf-8")
    ((head, _, *rows),) = tables(text)
    printed = bench(
        "leaderboard", readme.parent / "results/board", "--pairs", "--against", "m1", "--format", "markdown"
    )
    assert printed.out.strip() in text
    assert head == ["less m1", "rt-polarity, accuracy", "sms-spam, matthews", "mean"]
    assert [row[0] for row in rows] == ["m2", "m0"]
    pairs = {(line["method_a"], line["method_b"], line["task"]): line for line in csv_rows(readme, "pairs.csv")}
    for method, *shown, mean in rows:
        key, sign = (("m2", "m1"), 1) if method == "m2" else (("m1", "m0"), -1)
        for cell, task in zip(shown, ("rt-polarity", "sms-spam"), strict=True):
            line = pairs[(*key, task)]
            value = 100 * sign * float(line["difference"])
            ends = sorted(100 * sign * float(line[end]) for end in ("ci95_low", "ci95_high"))
            bold = "**" if 2 * float(line["p_value"]) < 0.05 else ""  # two comparisons, both or none significant
            assert cell == f"{bold}{value:+.1f}{bold} ({ends[0]:+.1f}, {ends[1]:+.1f})"
        assert f"{value:+.1f}" in mean  # both tasks' scores are the same here
    assert any("**" in shown for row in rows for shown in row)  # or bold was not tried


PAIRS_END = "\n<!-- pairs:end -->\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            f"<!-- pairs:begin results/board against m7 -->{PAIRS_END}",
            "have no method 'm7'; did you mean 'm2'? There are: m0, m1, m2",
        ),
        (f"<!-- pairs:begin results/board -->{PAIRS_END}", "and not with"),
        (f"<!-- leaderboard:begin results/board against m1 -->\n{END}\n", "and not with"),
        (f"{BEGIN}\n", "has no line `<!-- leaderboard:end -->`"),
        (f"{BEGIN}\n{BEGIN}\n{END}\n", "has no line `<!-- leaderboard:end -->`"),
        (f"<!-- leaderboard:begin nowhere -->\n{END}", "There is no results folder"),
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
