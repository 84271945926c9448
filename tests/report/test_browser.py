"""The page in a real browser. Every test also checks that it makes no request, and logs no error and no message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import many
import pytest

from bench.leaderboard.files import texts
from bench.leaderboard.tables import Tables
from bench.report.formatting import visible

pytestmark = pytest.mark.slow  # a browser of its own, half a minute in all

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


def column(page: Any, table: str, heading: str) -> list[str]:
    """The texts of a column in the visible rows, top to bottom."""
    return page.evaluate(
        """([table, heading]) => {
            const of = document.querySelector(`#${table} table`);
            const at = [...of.tHead.rows[0].cells].findIndex((each) => each.innerText.trim() === heading);
            return [...of.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[at].textContent);
        }""",
        [table, heading],
    )


def heading(page: Any, name: str) -> Any:
    return page.locator("#leaderboard thead th:visible", has_text=name).first


def draw_all(page: Any) -> None:
    """Scroll through the page until every chart is drawn."""
    for at in range(page.locator(".chart").count()):
        page.locator(".chart").nth(at).scroll_into_view_if_needed()
    page.wait_for_function(
        "document.querySelectorAll('.chart').length === document.querySelectorAll('.chart svg').length"
    )


# Tables


def test_sorting_by_every_column_and_back(opened: Any) -> None:
    page = opened().page
    before = column(page, "leaderboard", "Trained")
    button = heading(page, "Trained").get_by_role("button")
    sorted_columns = page.locator("#leaderboard [aria-sort]:not([aria-sort=none])")
    known = sorted(int(text.replace(",", "")) for text in before if text != "–")
    assert len(set(known)) > 3
    for order, expected in (("ascending", known), ("descending", known[::-1])):
        button.click()
        *numbers, first, second = column(page, "leaderboard", "Trained")
        assert [int(text.replace(",", "")) for text in numbers] == expected
        assert (first, second) == ("–", "–")  # unknown values stay last
        assert heading(page, "Trained").get_attribute("aria-sort") == order
    button.click()
    assert column(page, "leaderboard", "Trained") == before
    assert sorted_columns.count() == 0
    page.locator("#leaderboard").get_by_label("all columns").check()
    buttons = page.locator("#leaderboard thead button:visible")
    assert buttons.count() == page.locator("#leaderboard thead th").count() > 30
    for at in (0, 12, buttons.count() - 1):
        buttons.nth(at).click()
        assert sorted_columns.all_inner_texts() == [buttons.nth(at).inner_text()]


def test_filters_work_together_and_say_how_many_rows_are_left(opened: Any) -> None:
    page = opened().page
    section = page.locator("#leaderboard")
    count = section.get_by_role("status")
    assert count.inner_text() == "17 of 17 rows shown"
    section.get_by_label("Task").select_option(label="us-address")
    assert set(column(page, "leaderboard", "Task")) == {"us-address"}
    assert count.inner_text() == "5 of 17 rows shown"
    section.get_by_label("Method").select_option(label="pasta")
    assert column(page, "leaderboard", "Method") == ["pasta"]
    assert count.inner_text() == "1 of 17 rows shown"
    section.get_by_label("Task").select_option(label="all")
    section.get_by_label("Method").select_option(label="all")
    section.get_by_label("Status").select_option(label="1 oom, 1 timeout")
    assert column(page, "leaderboard", "Method") == ["ia3"]


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_a_download_is_the_csv_to_the_byte(opened: Any, tmp_path: Path, name: str) -> None:
    found = opened(name)
    expected = texts(Tables(found.records))
    for table in ("leaderboard", "cells", "pairs"):
        section = found.page.locator(f"#{table}")
        if section.locator("details.fold").count():
            section.locator("details.fold > summary").click()
        with found.page.expect_download() as waiting:
            section.get_by_role("button", name="Download CSV").click()
        assert waiting.value.suggested_filename == f"{table}.csv"
        waiting.value.save_as(tmp_path / table)
        assert (tmp_path / table).read_bytes() == expected[f"{table}.csv"].encode()


def test_failures_have_a_reason_and_a_folded_traceback(opened: Any) -> None:
    page = opened().page
    assert column(page, "failures", "Status") == ["oom", "timeout", "skipped"]
    assert column(page, "failures", "Last step") == ["17", "2", "–"]
    trace = page.locator("#failures pre")
    assert trace.count() == 1
    assert not trace.is_visible()
    page.locator("#failures summary").click()
    assert trace.inner_text() == "Traceback: here\n  it was"


# Charts


def test_charts_are_drawn_when_they_are_reached(opened: Any) -> None:
    page = opened().page
    assert page.locator(".chart svg").count() < page.locator(".chart").count() == 11
    draw_all(page)
    assert page.locator(".chart", has_text="cannot be drawn").count() == 0
    chart = page.locator("#group-1 .chart").first
    assert chart.get_by_text("head: 0 % trained").count() == 1
    assert chart.locator("line[stroke-dasharray='6,4']").count() == 1  # the bare head is a level line


def test_hovering_over_a_point_shows_its_values(opened: Any) -> None:
    found = opened()
    page = found.page
    chart = page.locator("#group-1 .chart").first
    chart.scroll_into_view_if_needed()
    lines = Tables(found.records).lines("leaderboard")
    row = next(line for line in lines if (line["task"], line["method"]) == ("rt-polarity", "pasta"))
    chart.locator("path[aria-label*='Method: pasta']").hover(force=True)
    tip = page.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    shown = dict(zip(tip.locator(".key").all_inner_texts(), tip.locator(".value").all_inner_texts(), strict=True))
    expected = {
        "Method": "pasta",
        "Score": f"accuracy {row['score_mean']:.4f}",
        "95 % interval": f"{row['score_ci95_low']:.4f} to {row['score_ci95_high']:.4f}",
        "Share, %": "0.0203",
        "Trained": "4,608",
        "Seeds": "3",
        "On the front": "yes",
        "Adapter, bytes": f"{row['adapter_bytes']:,}",
    }
    assert shown | expected == shown


# Theme


def colours(page: Any) -> tuple[str, str, str]:
    """Of the page, of its text, and of one point in a chart."""
    page.locator("#group-1 .chart").first.scroll_into_view_if_needed()
    page.locator("#group-1 .chart svg").first.wait_for()
    return tuple(
        page.evaluate(
            """() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
                getComputedStyle(document.querySelector("path[aria-label*='Method: pasta']")).fill]"""
        )
    )


def test_dark_follows_the_system_and_the_button_overrides_it(opened: Any) -> None:
    page = opened(color_scheme="light").page
    light = colours(page)
    page.emulate_media(color_scheme="dark")
    dark = colours(page)
    assert all(a != b for a, b in zip(light, dark, strict=True))  # a drawn chart too
    button = page.get_by_role("button", name="Theme")
    button.click()
    assert "dark" in button.inner_text()
    page.emulate_media(color_scheme="light")
    assert colours(page) == dark
    button.click()
    assert colours(page) == light
    page.emulate_media(color_scheme="dark")
    assert colours(page) == light
    button.click()
    assert colours(page) == dark


# Keyboard and words


def focused(page: Any) -> str:
    return page.evaluate("document.activeElement.textContent.trim()")


def test_the_keyboard_reaches_and_operates_everything(opened: Any) -> None:
    page = opened().page
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    assert page.locator(".skip").bounding_box()["width"] > 50  # seen once it has the focus
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused(page) == "Method" and page.evaluate("document.activeElement.tagName") == "BUTTON":
            break
    page.keyboard.press("Enter")
    names = column(page, "leaderboard", "Method")
    assert names == sorted(names)
    page.keyboard.press("Space")
    assert column(page, "leaderboard", "Method") == names[::-1]


def test_everything_has_a_name(opened: Any) -> None:
    page = opened().page
    draw_all(page)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, [role=img], [role=region], table, figure")]
            .filter((each) => !(each.ariaLabel || each.labels?.length || each.textContent.trim()))
            .map((each) => each.outerHTML.slice(0, 80))"""
    )
    assert unnamed == []
    assert page.locator("table:not(:has(caption))").count() == 0
    described = page.get_by_role("img", name="Pareto front from the cheapest on: head")
    assert described.count() >= 3


# Paper and phone


def test_printing_draws_every_chart_at_the_width_of_its_column(opened: Any, tmp_path: Path) -> None:
    page = opened(color_scheme="dark").page
    assert page.locator(".chart svg").count() < 11
    page.evaluate(
        """() => addEventListener("beforeprint", () => {
            const drawn = [...document.querySelectorAll(".chart svg")];
            window.widths = drawn.map((each) => Number(each.getAttribute("width")));
        })"""
    )
    file = tmp_path / "page.pdf"
    page.pdf(path=file, prefer_css_page_size=True)
    assert file.read_bytes().startswith(b"%PDF")
    assert page.locator(".chart svg").count() == 11
    widths = page.evaluate("window.widths")
    assert len(widths) == 11
    assert set(widths) == {325}
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 31, 39)"  # the light theme's ink
    assert not page.locator(".controls").first.is_visible()


def test_a_phone_never_scrolls_sideways(opened: Any) -> None:
    for name in ("small", "hostile"):
        page = opened(name, **PHONE).page
        draw_all(page)
        for fold in page.locator("details > summary").all():
            fold.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
        assert page.evaluate("visualViewport.width") <= 360


# Hostile text


def test_nothing_runs_and_text_is_shown_as_text(opened: Any) -> None:
    page = opened("hostile").page
    for fold in page.locator("details > summary").all():
        fold.click()
    for check in page.get_by_label("all columns").all():
        check.check()
    draw_all(page)
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        for point in chart.locator("path[aria-label]").all()[:12]:
            point.hover(force=True)
    page.locator(".group .chart").first.locator("path[aria-roledescription='point']").first.hover(force=True)
    tip = page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert tip.locator(".value").first.inner_text() in {visible(f"{each}[{each}]") for each in many.HOSTILE}
    assert tip.locator("img, script, svg").count() == 0
    page.pdf()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, iframe, svg[onload], [onerror], [onmouseover]").count() == 0
    assert page.locator("script").count() == page.evaluate(
        "document.querySelectorAll('script[type=\"application/json\"]').length + 2"
    )
    methods = set(column(page, "leaderboard", "Method"))
    assert methods >= {visible(f"{text}[{text}]") for text in many.HOSTILE}
    assert set(column(page, "failures", "Reason")) == {visible(text) for text in many.HOSTILE}
    traces = page.locator("#failures pre").all_inner_texts()
    assert set(traces) == {visible(f"{text}\n{many.ALL_HOSTILE}") for text in many.HOSTILE}
    assert visible(many.ALL_HOSTILE) in page.locator("h3").all_text_contents()
