"""Tables for people: on a terminal, in Markdown, LaTeX and HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made import failed, memory, parameters, record, speed

from bench.leaderboard.load import load_records
from bench.leaderboard.shown import FORMATS, shown, tuning
from bench.leaderboard.tables import Tables
from bench.plugins.method import Recipe
from bench.records.record import Record
from bench.text import text_table

STANDARD = Path(__file__).parents[2] / "results" / "standard"


def several() -> list[Record]:
    """Two tasks, three methods of which one collapsed and one failed, names that no format may take for its own."""
    costs = {"parameters": parameters(), "speed": speed(), "memory": memory(), "adapter_bytes": 4000}
    made = [
        record(method, seed, score + seed / (1000 + at), of={"task": task}, **costs)
        for task in ("a_b", "50%&more") for at, (method, score) in enumerate((("x<y>", 0.9), ("low", 0.5)))
        for seed in range(3)
    ]  # fmt: skip
    made[0] = made[0].model_copy(update={"collapsed": "nothing was learned"})
    return [*made, failed("lora", of={"task": "a_b", "variant": "r=4", "params": {"r": 4}})]


def rows_of(text: str) -> dict[str, list[str]]:
    """The cells of a plain-text table's lines by their first one."""
    return {(parts := re.split(r"\s{2,}", line))[0]: parts[1:] for line in text.splitlines() if line}


# On a terminal


def test_the_leaderboard_begins_with_the_methods_over_all_tasks() -> None:
    over, _, of_tasks = shown("leaderboard", Tables(several())).partition("\n\nmethod     score")
    assert over.startswith("Over 2 tasks: model minilm-l6, profile cpu, suite quick\n\nmethod")
    found = rows_of(over)
    assert found["x<y>"] == ["0.9010", "a", "2", "1.000", "100", "50", "4", "1", "0"]
    assert found["low"][:2] == ["0.5010", "-40.0 (-40, -40)"]
    assert found["lora[r=4]"] == [*"-" * 9, "1"]
    assert of_tasks.splitlines()[3] == "50%&more, matthews"
    assert rows_of(of_tasks)["low"] == ["0.5010 ± 0.0010", "b", "10", "1.000", "100", "50", "3", "ok"]
    assert "x<y>       0.9010 ± 0.0010  a          10  1.000  100    50      3  ok, 1 collapsed" in of_tasks
    assert rows_of(of_tasks)["lora[r=4]"][-1] == "1 oom"
    assert of_tasks.count("score: mean ± standard deviation over seeds") == 1


@pytest.mark.parametrize("which", ["leaderboard", "overall", "pairs", "cells"])
@pytest.mark.parametrize("against", [None, "pasta"])
def test_thirteen_methods_fit_a_terminal_of_100_columns(which: str, against: str | None) -> None:
    text = shown(which, Tables(load_records([STANDARD]).records), against=against)
    assert max(map(len, text.splitlines())) <= 100


def test_of_one_task_there_is_one_table() -> None:
    text = shown("leaderboard", Tables([each for each in several() if each.cell.task == "a_b"]), against="low")
    assert text.startswith("a_b, matthews, model minilm-l6, profile cpu, suite quick\n\nmethod")
    assert rows_of(text)["x<y>"][:3] == ["0.9010 ± 0.0010", "+40.0 (+40, +40)", "a"]
    assert rows_of(text)["lora[r=4]"][:2] == ["-", "-"]
    assert text.count("x<y>") == 1
    text = shown("leaderboard", Tables([record("a", 0, 0.5), record("b", 0, 0.4)]))
    assert rows_of(text)["b"][:2] == ["0.4000", "-10.0"]
    assert "ties" not in text
    assert "±" not in text
    assert rows_of(shown("leaderboard", Tables([failed("a")])))["a"][-1] == "1 oom"
    assert shown("leaderboard", Tables([])) == "No records."
    assert shown("pairs", Tables([record("a")])).startswith("No two methods")


def test_errors_are_shown_in_their_own_unit() -> None:
    made = [record(method, seed, score + seed, metric="rmse", scores={"rmse": score + seed}, higher_is_better=False)
            for method, score in (("a", 200.0), ("b", 1200.0)) for seed in range(3)]  # fmt: skip
    text = shown("overall", Tables(made))
    assert rows_of(text)["b"][:2] == ["1201.0000", "-1,000"]
    assert "points" not in text


def test_what_differs_between_rows_is_shown() -> None:
    def made(*of: dict[str, str]) -> Tables:
        return Tables([record(m, of=each | {"task": task}) for m in "ab" for task in ("one", "two") for each in of])

    for which in ("leaderboard", "cells", "pairs"):
        text = shown(which, made({"model": "x"}, {"model": "y", "pooling": "mean"}))
        assert "\ntwo, matthews, model x, pooling model\n" in text
        assert "\ntwo, matthews, model y, pooling mean\n" in text
        assert "\ntwo, matthews\n" in shown(which, made({}))
    text = shown("overall", made({"model": "x"}, {"model": "y", "pooling": "mean"}))
    assert "\nOver 2 tasks: model x, profile cpu, suite quick\n" in text
    assert "\nOver 2 tasks: model y, profile cpu, suite quick, mean pooling\n" in text


def test_pairs_say_what_is_significant_and_what_would_be_found() -> None:
    text = shown("pairs", Tables(several()))
    (line,) = [line for line in text.splitlines() if line.startswith("x<y>")][:1]
    assert re.fullmatch(r"x<y>  low  \+0\.4000  \+0\.\d{4} to \+0\.\d{4}  \*(0\.\d{4}|< 0\.0001)   0\.\d{4}", line)
    assert "p: corrected for all pairs of a task" in text
    assert "p: corrected for the pairs of a task with low" in shown("pairs", Tables(several()), against="low")


def test_a_table_is_wrapped_to_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"name": "pasta", "count": "22,713,216", "summary": "one trained vector per special token " * 3}]
    assert len(text_table(rows).splitlines()) == 3
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    lines = text_table(rows * 2, ("left", "right", "left"), {0: "first", 1: "second"}).splitlines()
    assert max(map(len, lines)) <= 60
    assert "22,713,216" in lines[3]
    assert lines[2] == "first"
    at = lines.index("second")
    assert lines[at - 1] == ""
    assert len(lines[at + 1 :]) == len(lines[3 : at - 1]) > 1


def test_the_legend_says_how_rows_were_tuned() -> None:
    recipe = Recipe(learning_rate=1, epochs=1, chosen_by="tune", trials=7, trial_examples=8064)
    by_hand = recipe.model_copy(update={"chosen_by": "me", "trials": None, "trial_examples": None})

    def said(*records: Record) -> str:
        return tuning(list(Tables(records).lines("leaderboard")))

    assert said(*(record(name, recipe=recipe) for name in "ab")) == " Recipes: tuned by 7 trials of 8,064 examples."
    assert said(failed("a")) == ""
    mixed = said(record("a", recipe=recipe), *(record(name, recipe=by_hand) for name in "bc"))
    assert mixed == " Recipes: not tuned for this budget (2 rows); tuned by 7 trials of 8,064 examples (1 row)."


# As a paper prints it


ESCAPED = r"\\(?:[&%$#_{}]|text\w+(?:\{\})?|scriptsize|,|pm|\\$)"


@pytest.mark.parametrize("which", ["leaderboard", "overall", "pairs", "cells"])
def test_latex_is_well_formed_and_escapes_every_name(which: str) -> None:
    text = shown(which, Tables(several()), "latex")
    tables = re.findall(r"\\begin\{table\}\n(.*?)\n\\end\{table\}", text, re.DOTALL)
    assert len(tables) == (1 if which in ("leaderboard", "overall") else 2)
    for table in tables:
        centering, caption, begin, top, *lines, bottom, end = table.splitlines()
        assert (centering, top, bottom, end) == ("\\centering", "\\toprule", "\\bottomrule", "\\end{tabular}")
        assert caption.startswith("\\caption{")
        columns = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", begin)
        assert columns is not None
        head, middle, *rows = lines
        assert middle == "\\midrule"
        assert rows
        for row in (head, *rows):
            assert row.endswith(r" \\")
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns[1]) - 1
        for line in (caption.removeprefix("\\caption"), head, *rows):
            assert line.count("$") % 2 == line.count("\\$") % 2
            bare = re.sub(ESCAPED, "", line.replace("$\\pm$", "").replace("$-$", ""))
            assert not re.search(r"[\\#$%_^~<>]", bare), bare
            assert bare.count("{") == bare.count("}")


def test_latex_of_the_leaderboard() -> None:
    lines = shown("leaderboard", Tables(several()), "latex").splitlines()
    assert lines[0] == r"% \usepackage{booktabs}"
    assert r"method & share \% & 50\%\&more, matthews & a\_b, matthews & mean \\" in lines
    score = r"\textbf{0.9010}\,{\scriptsize $\pm$ 0.0010}\textsuperscript{a}"
    assert (
        rf"x\textless{{}}y\textgreater{{}} & 1.000 & {score} & {score} & \textbf{{0.9010}}\textsuperscript{{a}} \\"
        in lines
    )
    assert r"lora[r=4] & -- & -- & -- & -- \\" in lines
    assert r"$-$40.0 ($-$40, $-$40)" in shown("overall", Tables(several()), "latex")


class Tags(HTMLParser):
    """Checks that what is opened is closed; keeps text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


@pytest.mark.parametrize("which", ["leaderboard", "overall", "pairs", "cells"])
def test_html_is_a_plain_table(which: str) -> None:
    page = Tags()
    page.feed(shown(which, Tables(several()), "html"))
    assert page.open == []
    assert {"x<y>", "low"} <= set(page.text)
    assert set(page.seen) <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "b", "small", "sup", "p"}


def test_csv_is_the_table_and_no_other_format_is_known() -> None:
    tables = Tables(several())
    assert shown("cells", tables, "csv").splitlines()[0] == ",".join(tables.columns("cells"))
    assert FORMATS == ("csv", "markdown", "latex", "html")
