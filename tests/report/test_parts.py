"""The report's parts without a browser: text, styles, the Pareto front, thinned curves, tables."""

from __future__ import annotations

import math
import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.report.charts import MAX_POINTS, mean_curve, pareto, stretch_length, thin
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


def colours(theme: int) -> dict[str, np.ndarray]:
    """The custom properties of the light (0) or dark (1) theme as linear RGB."""
    css = resources.files("bench.report").joinpath("report.css").read_text(encoding="utf-8")
    found = {}
    for name, *themes in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", css):
        parts = np.array([int(themes[theme][at : at + 2], 16) for at in (1, 3, 5)]) / 255
        found[name] = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return found


# Machado, Oliveira and Fernandes, 2009, severity 1: what linear RGB looks like without one kind of cone.
VISION = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no short": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("vision", VISION)
def test_no_two_colours_look_alike_to_anyone(theme: int, vision: str) -> None:
    found = colours(theme)
    seen = [lab(np.array(VISION[vision]) @ found[f"c{at}"]) for at in range(COLOURS)]
    # A difference of 2 is seen by a keen eye side by side; 20 is seen at a glance.
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 20


@pytest.mark.parametrize("theme", [0, 1])
def test_every_colour_stands_out_from_the_card(theme: int) -> None:
    light = {name: float(rgb @ [0.2126, 0.7152, 0.0722]) for name, rgb in colours(theme).items()}
    for at in range(COLOURS):
        darker, lighter = sorted((light[f"c{at}"], light["card"]))
        assert (lighter + 0.05) / (darker + 0.05) >= 3


# The front


def test_the_front_by_hand() -> None:
    points = {"head": (0.0, 0.5), "a": (1.0, 0.8), "b": (2.0, 0.7), "c": (3.0, 0.9), "d": (3.0, 0.85)}
    assert pareto(points) == ["head", "a", "c"]
    assert pareto(points, score_sign=-1) == ["head"]
    assert pareto(points, cost_sign=-1) == ["c"]
    assert pareto({"b": (1.0, 0.5), "a": (1.0, 0.5)}) == ["a", "b"]  # equals are both on the front
    assert pareto({}) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_a_point_is_on_the_front_unless_another_dominates_it(points: list[tuple[int, int]]) -> None:
    front = pareto({str(at): point for at, point in enumerate(points)})
    assert front
    for at, (cost, score) in enumerate(points):
        dominated = any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)
        assert dominated == (str(at) not in front)


# Curves


@given(st.lists(st.floats(-10, 10), max_size=500))
@settings(max_examples=30)
def test_a_thinned_curve_is_short_and_keeps_its_mean(losses: list[float]) -> None:
    stretch = stretch_length([len(losses)])
    curve = thin(losses, stretch)
    assert len(curve.losses) == len(curve.steps) <= MAX_POINTS
    if losses and len(losses) % stretch == 0:
        mean = sum(filter(None, curve.losses)) / len(curve.losses)
        assert mean == pytest.approx(sum(losses) / len(losses), abs=1e-9)


def test_a_curve_by_hand() -> None:
    assert thin([1.0, 3.0, 5.0, 7.0, 9.0], 2) == ([1.5, 3.5, 5.0], [2.0, 6.0, 9.0])
    assert thin([math.nan, math.inf, 4.0, math.nan], 2).losses == [None, 4.0]
    assert mean_curve([[1.0, 2.0, 3.0], [3.0, math.nan]], 1) == ([1.0, 2.0], [2.0, None])
    assert mean_curve([], 1) == ([], [])


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
