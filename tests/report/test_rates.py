"""The drawing of scores against rates: every trial is where it belongs, and no name can harm it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from bench.report.rates import HEIGHT, rates_svg

SVG = "{http://www.w3.org/2000/svg}"


def line(rate: float, score: float | None, method: str = "lora", task: str = "a", **more: Any) -> dict[str, Any]:
    known = {"method_params": "", "dropout": 0.0, "metric": "f1", "status": "ok", "seeds": "100"}
    return {"method": method, "task": task, "learning_rate": rate, "validation_score": score, **known, **more}


def drawn(*lines: dict[str, Any]) -> ElementTree.Element:
    """From text, as a CSV file has it, and from values: the same."""
    made = rates_svg(lines)
    assert made is not None
    assert made == rates_svg(
        [{key: "" if value is None else str(value) for key, value in each.items()} for each in lines]
    )
    return ElementTree.fromstring(made)


def circles(root: ElementTree.Element, size: str) -> list[tuple[float, float]]:
    """Within panels, whose circles have tips: places of points (2.8) or rings (6)."""
    found = (each for each in root.iter(f"{SVG}circle") if each.find(f"{SVG}title") is not None)
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in found if each.attrib["r"] == size]


def test_rates_are_logarithmic_and_the_better_end_is_up() -> None:
    root = drawn(line(1e-4, 0.5), line(1e-3, 0.7), line(1e-2, 0.6, chosen="all tasks"))
    (x1, y1), (x2, y2), (x3, y3) = circles(root, "2.8")
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert (y1, y2, y3) == (HEIGHT, 0, HEIGHT / 2)
    assert circles(root, "6") == [(x3, y3)]
    lower = [line(1e-4, 0.5, higher_is_better=False), line(1e-3, 0.7, higher_is_better=False)]
    assert [y for _, y in circles(drawn(*lower), "2.8")] == [0, HEIGHT]


def test_a_tasks_own_recipe_is_the_one_marked_and_the_best_where_nobody_says() -> None:
    chosen = [line(1e-4, 0.5, chosen="all tasks"), line(1e-3, 0.7, chosen="this task"), line(1e-2, 0.8)]
    assert circles(drawn(*chosen), "6") == circles(drawn(*chosen), "2.8")[1:2]
    two = drawn(line(1e-4, 0.5), line(1e-3, 0.7))
    assert circles(two, "6") == circles(two, "2.8")[1:]


def test_what_failed_or_collapsed_is_a_cross_and_moves_no_axis() -> None:
    root = drawn(line(1e-4, 0.5), line(1e-3, 0.7), line(1e-2, 0.0, status="collapsed"), line(1e-1, None, status="oom"))
    assert len(circles(root, "2.8")) == 2
    assert sum("l8 8m0 -8l-8 8" in each.attrib["d"] for each in root.iter(f"{SVG}path")) == 2 + 1  # and the legend's
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert ("0.700" in texts, "0.500" in texts, "0.000" in texts) == (True, True, False)


def test_names_and_values_are_text_and_colours_follow_the_page_or_stand_alone() -> None:
    evil = line(1e-3, 0.5, "<script>", "</svg>\u202e", seeds="&")
    assert "<script>" not in str(rates_svg([evil]))
    assert "var(--ink)" in str(rates_svg([evil]))
    assert "var(" not in str(rates_svg([evil], standalone=True))
    assert "⟨U+202E⟩" in next(str(each.text) for each in drawn(evil).iter(f"{SVG}text"))


@pytest.mark.parametrize("rate", ["fast", "nan", "inf", "-0.1"])
def test_what_is_no_rate_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match=r"fast|is nan|is inf|math domain|positive"):
        rates_svg([{**line(1e-3, 0.5), "learning_rate": rate}])


def test_without_trials_there_is_nothing_to_draw() -> None:
    assert rates_svg([]) is None
