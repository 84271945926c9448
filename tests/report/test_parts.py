"""The report's parts without a browser: text, styles, the Pareto front, thinned curves, tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.charts import pareto, thin
from bench.report.formatting import COLOURS, SHAPES, assign_styles, shown, visible, with_interval
from bench.report.table import Table, View, make_table

# Text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, é, 漢, 👩‍🔬", "plain, é, 漢, 👩‍🔬"), ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x00", "␛[31mred␀"), ("a\r\nb\rc", "a\nb␍c"), ("a\u202eb\u2066c", "a⟨U+202E⟩b⟨U+2066⟩c"),
        ("\x7f\x9b\u2028", "␡⟨U+009B⟩⟨U+2028⟩"), ("half \ud800", "half \ufffd"),
    ],
)  # fmt: skip
def test_control_characters_are_made_visible(text: str, seen: str) -> None:
    assert visible(text) == seen


@given(st.text(st.sampled_from("\x00\x1b\x7f\x85\r\n\u061c\u200e\u200f\u202a\u202e\u2066\u2069\ud800\udfffA")))
def test_visible_text_encodes_and_turns_nothing_around(text: str) -> None:
    seen = visible(text)
    seen.encode()
    assert not set(seen) & set("\x00\x1b\x7f\x85\r\u061c\u200e\u200f\u202a\u202e\u2066\u2069")
    assert visible(seen) == seen


@pytest.mark.parametrize(
    ("value", "key", "text"),
    [
        (4608, "", "4,608"), (0.79666, "score_mean", "0.7967"), (0.0203, "share", "0.0203"), (1.3778, "", "1.38"),
        (32.345, "", "32.3"), (1260.4, "", "1,260"), (0.0, "", "0"), (1e-7, "share", "1.0e−07"),
        (1e-7, "p_value", "< 0.0001"), (0.04567, "p_holm", "0.0457"), (1.5, "average_rank", "1.50"),
        (0.002, "learning_rate", "0.002"), (2.4000000000000004, "epochs", "2.4"), (-0.5, "difference", "−0.5000"),
        (True, "", "yes"), (0, "", "0"), (None, "", "–"), (math.nan, "", "–"), (math.inf, "", "–"),
    ],
)  # fmt: skip
def test_numbers_as_people_read_them(value: float | None, key: str, text: str) -> None:
    assert shown(value, key) == text


def test_a_mean_with_its_interval() -> None:
    assert with_interval(None, None, None) == "–"
    assert with_interval(0.5, None, None) == "0.5000"
    assert with_interval(0.5, 0.4, 0.6) == "0.5000 ± 0.1000"


# Styles


def test_styles_depend_on_names_alone_and_differ() -> None:
    names = [f"m{at}" for at in range(COLOURS * len(SHAPES))]
    styles = assign_styles(names)
    assert len(set(styles.values())) == len(names)
    assert assign_styles(names[::-1] + names) == styles


# The front


def test_the_front_by_hand() -> None:
    points = {"head": (0.0, -0.5), "a": (1.0, -0.8), "b": (2.0, -0.7), "c": (3.0, -0.9), "d": (3.0, -0.85)}
    assert pareto(points) == ["head", "a", "c"]
    assert pareto({"b": (1.0, 0.5), "a": (1.0, 0.5)}) == ["a", "b"]  # equals are both on the front
    assert pareto({}) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_a_point_is_on_the_front_unless_another_dominates_it(points: list[tuple[int, int]]) -> None:
    front = pareto({str(at): point for at, point in enumerate(points)})
    assert front
    for at, (cost, loss) in enumerate(points):
        dominated = any(c <= cost and x <= loss and (c, x) != (cost, loss) for c, x in points)
        assert dominated == (str(at) not in front)


def test_a_thinned_curve_by_hand() -> None:
    steps, losses = thin([1.0, 3.0, 5.0, math.inf, math.nan, math.nan, 9.0], 2)
    assert steps.tolist() == [1.5, 3.5, 5.5, 7.0]
    assert losses.tolist() == pytest.approx([2.0, 5.0, math.nan, 9.0], nan_ok=True)


# Tables


ROWS = [
    {"task": "t", "method": "a", "method_params": "r=4", "score": 0.5, "n_seeds": 3, "note": None},
    {"task": "t", "method": "=b", "method_params": "", "score": None, "n_seeds": 0, "note": "x"},
]


def made(view: View, about: dict[str, str] | None = None) -> Table:
    return make_table(ROWS, list(ROWS[0]), assign_styles(["a[r=4]", "=b"]), view, about)


def test_a_table_shows_its_rows() -> None:
    found = made(View())
    assert [heading.kind for heading in found.headings] == ["text", "head", "text", "number", "number", "text"]
    assert [[cell.text for cell in line.cells] for line in found.lines] == [
        ["t", "a[r=4]", "r=4", "0.5000", "3", "–"],
        ["t", "=b", "–", "–", "0", "x"],
    ]
    assert [line.cells[3].sort for line in found.lines] == [0.5, None]
    assert found.lines[1].cells[3].unknown
    assert not found.lines[1].cells[4].unknown
    assert found.lines[0].cells[1].style != found.lines[1].cells[1].style
    assert found.csv == "task,method,method_params,score,n_seeds,note\nt,a,r=4,0.5,3,\nt,'=b,,,0,x\n"


def test_what_never_changes_is_said_once() -> None:
    view = View(("method", "absent", "task", "score"), ("method", "task"), ("task",))
    found = made(view, {"score": "What it scored."})
    more = {"method": False, "task": True, "score": False, "method_params": True}
    assert [(heading.key, heading.more) for heading in found.headings[:4]] == [*more.items()]
    assert found.caption == "All rows: task t."
    assert [(each.label, each.values) for each in found.filters] == [("Method", ("=b", "a[r=4]"))]
    assert found.headings[2].about == "What it scored."


def test_intervals_are_drawn_on_the_scale_of_their_group() -> None:
    rows = [
        {"task": task, "method": "m", "score_mean": mean, "score_ci95_low": low, "score_ci95_high": high}
        for task, mean, low, high in (("t", 0.5, 0.4, 0.6), ("t", 0.2, None, None), ("u", 9.0, 8.0, 10.0))
    ]
    found = make_table(rows, list(rows[0]), {}, View(first=("score",), groups=("task",)))
    assert [line.cells[0].interval for line in found.lines] == [(50, 75, 100), (0, 0, 0), (0, 50, 100)]
    assert [line.cells[0].text for line in found.lines] == ["0.5000 ± 0.1000", "0.2000", "9.0000 ± 1.0000"]
    assert [line.first for line in found.lines] == [False, False, True]
