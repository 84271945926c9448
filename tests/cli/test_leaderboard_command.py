"""What `leaderboard` prints where."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from commandline import Bench

from bench.leaderboard.columns import CELLS, LEADERBOARD, names


def test_the_leaderboard_as_json_has_the_columns_names(bench: Bench, results: Path) -> None:
    for more, columns in ((["--per-cell"], names(CELLS)), ([], names(LEADERBOARD))):
        rows = json.loads(bench("leaderboard", results, "--json", *more).out)
        assert [tuple(row) for row in rows] == [columns] * len(rows)
    assert [(row["method"], row["score_mean"], row["n_failed"]) for row in rows] == [("a", 0.6, 0), ("b", 0.25, 1)]


def test_the_leaderboard_as_csv(bench: Bench, results: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "board.csv"
    done = bench("leaderboard", results, "--out", out)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"Written: {out} (2 rows), {out.with_suffix('.datapackage.json')}\n"
    with out.open(newline="") as lines:
        assert [row["method"] for row in csv.DictReader(lines)] == ["a", "b"]
    bench("leaderboard", results, "--per-cell", "--out", out)
    with out.open(newline="") as lines:
        found = [(row["method"], row["seed"], row["status"]) for row in csv.DictReader(lines)]
    assert found == [("a", "0", "ok"), ("a", "1", "ok"), ("b", "0", "ok"), ("b", "1", "oom")]


def test_the_leaderboard_for_people(bench: Bench, results: Path) -> None:
    done = bench("leaderboard", results)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("sms-spam, matthews, model minilm-l6, profile cpu, suite quick\n")
    assert "0.6000 ± 0.1414" in done.out
    assert "1 oom" in done.out


def test_cells_for_people(bench: Bench, results: Path) -> None:
    lines = bench("leaderboard", results, "--per-cell").out.splitlines()
    assert lines[0] == "sms-spam, matthews"
    assert lines[2].split() == ["cell", "method", "seed", "score", "MiB", "ex/s", "seconds", "status"]
    assert lines[4].split()[1:] == ["a", "0", "0.5000", "-", "-", "10", "ok"]
    assert lines[7].split("  ")[-1] == "oom: a case of oom"


def test_other_formats_are_printed_and_written(bench: Bench, results: Path, tmp_path: Path) -> None:
    for form, start in (("csv", "rank_group,"), ("markdown", "Model minilm-l6"), ("latex", "% "), ("html", "<table>")):
        printed, out = bench("leaderboard", results, "--format", form), tmp_path / f"board.{form}"
        assert printed.out.startswith(start)
        done = bench("leaderboard", results, "--format", form, "--out", out)
        assert (done.code, done.out) == (0, "")
        assert out.read_text(encoding="utf-8") == printed.out
    assert [path.name for path in tmp_path.glob("*.json")] == ["board.datapackage.json"]
    for wrong in (["--format", "word"], ["--format", "csv", "--json"], ["--format", "csv", "--into", "README.md"]):
        assert bench("leaderboard", results, *wrong).code == 2


def test_a_method_to_compare_with(bench: Bench, results: Path) -> None:
    (pair,) = json.loads(bench("leaderboard", results, "--pairs", "--against", "b", "--json").out)
    assert (pair["method_a"], pair["method_b"]) == ("a", "b")
    rows = json.loads(bench("leaderboard", results, "--overall", "--against", "b", "--json").out)
    assert [(row["method"], row["against"], row["difference_to_against"]) for row in rows] == [
        ("a", "b", 0.25), ("b", "b", 0.0)
    ]  # fmt: skip
    assert "less b" in bench("leaderboard", results, "--against", "b").out
    for more in (["--per-cell"], ["--json"], ["--format", "latex"]):
        assert "--against changes nothing" in bench("leaderboard", results, "--against", "b", *more).err
    done = bench("leaderboard", results, "--against", "bb")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: These results have no method 'bb'; did you mean 'b'? There are: a, b.\n"


@pytest.mark.parametrize("more", [[], ["--json"], ["--pairs"]])
def test_an_empty_folder_is_nothing_to_show(more: list[str], bench: Bench, tmp_path: Path) -> None:
    done = bench("leaderboard", tmp_path, *more)
    assert done.code == 3
    assert done.out == ("[]\n" if more == ["--json"] else "")
    assert done.err == f"There are no records in {tmp_path}; `python -m bench run` writes some.\n"


def test_damaged_records_are_left_out_aloud(bench: Bench, results: Path) -> None:
    path = next((results / "records").glob("*.json"))
    path.write_text("{")
    done = bench("leaderboard", results, "--per-cell", "--json")
    assert done.code == 0
    assert len(json.loads(done.out)) == 3
    assert " ".join(done.err.split()).startswith(f"Left out: {path} cannot be read as a record")


def test_a_place_that_cannot_be_written_is_one_sentence(bench: Bench, results: Path) -> None:
    (results / "file").write_text("")
    done = bench("leaderboard", results, "--out", results / "file" / "board.csv")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Error: {results}/file/board.csv cannot be written: ")
    assert len(done.err.splitlines()) == 1
