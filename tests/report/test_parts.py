"""The report's parts without a browser: text, styles, the Pareto front, thinned curves, tables."""

from __future__ import annotations

import math
import re
from importlib import resources
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plugins import registry
from bench.report.charts import bounds_of, pareto, thin
from bench.report.formatting import COLOURS, SHAPES, assign_styles, shown, visible
from bench.report.svg import Box, cost_axis, place_labels, score_range
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


# Styles


def test_styles_depend_on_names_alone_and_differ() -> None:
    names = [f"m{at}" for at in range(COLOURS * len(SHAPES))]
    styles = assign_styles(names)
    assert len(set(styles.values())) == len(names)
    assert assign_styles(names[::-1] + names) == styles


COLOUR_VISION = {  # Machado, Oliveira, Fernandes: A Physiologically-based Model (2009), severity 1, linear RGB
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_are_apart_for_every_eye_and_from_the_card(theme: int) -> None:
    css = resources.files("bench.report").joinpath("report.css").read_text(encoding="utf-8")
    known = {name: both for name, *both in re.findall(r"--(\w+): light-dark\(#(\w{6}), #(\w{6})\)", css)}

    def linear(name: str) -> Any:
        part = np.array([*bytes.fromhex(known[name][theme])]) / 255
        return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)

    for at in range(COLOURS):
        low, high = sorted([linear(f"c{at}") @ XYZ[1], linear("card") @ XYZ[1]])
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, 1.4.11
    for vision in COLOUR_VISION.values():
        labs = []
        for at in range(COLOURS):
            xyz = XYZ @ np.clip(vision @ linear(f"c{at}"), 0, 1) / XYZ.sum(axis=1)
            x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
            labs.append((116 * y - 16, 500 * (x - y), 200 * (y - z)))
        assert min(math.dist(a, b) for a, b in combinations(labs, 2)) > 20  # CIE 1976


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


# Axes and labels


def test_a_logarithmic_axis_by_hand() -> None:
    axis = cost_axis([0.0, 0.01, 100.0], 0.0, 142.0)
    assert (axis.log, axis.zero, axis.start) == (True, 14.0, 42.0)
    assert axis.at(0.0) == 14.0
    assert axis.at(1.0) == 92.0  # the middle of 0.01 and 100
    assert axis.at(1e9) == 142.0
    assert [tick.text for tick in axis.ticks(6)] == ["0", "0.01", "0.1", "1", "10", "100"]
    assert [tick.text for tick in cost_axis([3e3, 9e7], 0, 100, of_bytes=True).ticks(5)] == [
        "10 kB", "100 kB", "1 MB", "10 MB", "100 MB"
    ]  # fmt: skip
    assert not cost_axis([1.0, 10.0], 0.0, 100.0).log  # a decade is not more than one
    assert not cost_axis([0.0, 0.0], 0.0, 100.0).log


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=9))
def test_an_axis_has_a_place_and_ticks_for_every_cost(costs: list[float]) -> None:
    axis = cost_axis(costs, 10.0, 200.0)
    places = [axis.at(cost) for cost in sorted(costs)]
    assert places == sorted(places)
    assert all(10 <= place <= 200 for place in places)
    assert len(axis.ticks(5)) <= 8


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9),
    st.lists(st.floats(-1e6, 1e6), max_size=9),
)
def test_an_axis_of_scores_has_all_means_and_is_never_beyond_the_metric(means: list[float], ends: list[float]) -> None:
    low, high = score_range(means, ends, (0.0, 1.0))
    assert 0 <= low <= min(means)
    assert max(means) <= high <= 1
    assert low < high


def test_labels_do_not_cover_each_other_or_marks() -> None:
    points = [(100.0 + 6 * at, 100.0 + 3 * (at % 3), f"method-{at}") for at in range(13)]
    frame, size = Box(0, 0, 440, 300), 12.0
    boxes = []
    for (_, _, text), label in zip(points, place_labels(points, [], frame, size), strict=True):
        width = 0.6 * size * len(text)
        left = label.x - width * {"start": 0, "middle": 0.5, "end": 1}[label.anchor]
        boxes.append(Box(left, label.y - 9, left + width, label.y + 2))
    marks = [Box(x - 5, y - 5, x + 5, y + 5) for x, y, _ in points]
    for at, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in [*boxes[:at], *marks]), at
        assert box.left >= 0 and box.right <= 440 and box.top >= 0 and box.bottom <= 300  # noqa: PT018


def overlap(a: Box, b: Box) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def test_every_built_in_metric_has_known_bounds() -> None:
    for name, found in registry.metrics().built_in().items():
        metric, (low, high) = found.plugin(), bounds_of(name)
        assert (high < math.inf) == metric.higher_is_better, name
        assert (low > -math.inf) == (name != "r2"), name


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
    keys = ("task", "method", "score_mean", "score_ci95_low", "score_ci95_high", "score_std")
    values = (("t", "m", 1.0, 0.9, 1.1, 0.05), ("t", "m", 0.0, None, None, None), ("t", "m", 0.5, -9.0, 9.0, 1.0))
    rows = [dict(zip(keys, each, strict=True)) for each in (*values, ("u", "m", 9.0, 8.0, 10.0, 0.5))]
    found = make_table(rows, list(rows[0]), {}, View(first=("score",), groups=("task",)))
    # Of t, the axis goes from -0.25 to 1.25: a quarter of the means' range beyond them, where the wide one ends.
    assert [line.cells[0].interval for line in found.lines] == [
        (76.7, 83.3, 90.0, None), (16.7, 16.7, 16.7, None), (0.0, 50.0, 100.0, None), (0.0, 50.0, 100.0, None)
    ]  # fmt: skip
    assert [(line.cells[0].text, line.cells[0].after) for line in found.lines[:2]] == [
        ("1.0000", "± 0.0500"), ("0.0000", "")
    ]  # fmt: skip
    assert [line.first for line in found.lines] == [False, False, False, True]


def test_columns_that_say_nothing_are_shown_on_request_only() -> None:
    rows = [{"method": "a", "n_failed": 0, "status": "ok", "letters": None, "n_seeds": 2, "metric": "f1"}]
    first = tuple(rows[0])
    for changes, more in (({}, {"n_failed", "status", "letters"}), ({"n_failed": 1, "status": "1 oom"}, {"letters"})):
        found = make_table([rows[0] | changes], first, {}, View(first=first))
        assert {heading.key for heading in found.headings if heading.more} == more
