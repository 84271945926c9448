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


# Tables


def test_sorting_by_every_column_and_back(opened: Any) -> None:
    page = opened().page
    before = column(page, "leaderboard", "Adapter, bytes")
    button = heading(page, "Adapter, bytes").get_by_role("button")
    sorted_columns = page.locator("#leaderboard [aria-sort]:not([aria-sort=none])")
    known = sorted(int(text.replace(",", "")) for text in before if text != "–")
    assert len(set(known)) > 3
    for order, expected in (("ascending", known), ("descending", known[::-1])):
        button.click()
        *numbers, first, second = column(page, "leaderboard", "Adapter, bytes")
        assert [int(text.replace(",", "")) for text in numbers] == expected
        assert (first, second) == ("–", "–")  # unknown values stay last
        assert heading(page, "Adapter, bytes").get_attribute("aria-sort") == order
    button.click()
    assert column(page, "leaderboard", "Adapter, bytes") == before
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
    section.locator("[name='leaderboard.task']").select_option(label="us-address")
    assert set(column(page, "leaderboard", "Task")) == {"us-address"}
    assert count.inner_text() == "5 of 17 rows shown"
    section.locator("[name='leaderboard.method']").select_option(label="pasta")
    assert column(page, "leaderboard", "Method") == ["pasta"]
    assert count.inner_text() == "1 of 17 rows shown"
    section.locator("[name='leaderboard.task']").select_option(label="all")
    section.locator("[name='leaderboard.method']").select_option(label="all")
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


# The answer, and what one has


def test_the_first_screen_has_the_answer_and_its_chart(opened: Any) -> None:
    page = opened(viewport={"width": 1280, "height": 800}).page
    assert page.locator(".lead").inner_text().startswith("full has the best mean score over 2 tasks")
    chart = page.locator(".wide .chart:visible")
    assert chart.count() == 1
    for shown in (page.locator(".lead"), chart):
        box = shown.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 800


def test_what_one_has_filters_rows_and_marks(opened: Any) -> None:
    page = opened().page
    page.get_by_label("peak memory MiB", exact=True).fill("1100")
    assert column(page, "overall", "Method") == ["pasta", "bitfit", "head"]
    assert column(page, "matrix", "Method") == ["pasta", "bitfit", "head"]
    assert set(column(page, "leaderboard", "Method")) == {"pasta", "bitfit", "head"}
    assert page.locator("#fits").inner_text() == "3 of 7 methods fit; the best of them is pasta."
    marks = page.locator(".wide .share .mark")
    assert marks.count() == 5
    assert page.locator(".wide .share .mark.out").count() == 2
    page.get_by_label("trainable share %", exact=True).fill("0.05")
    assert column(page, "overall", "Method") == ["pasta", "head"]
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("!document.querySelector('.mark.out')")
    assert len(column(page, "overall", "Method")) == 7


def test_a_chosen_cost_is_that_of_all_charts(opened: Any) -> None:
    page = opened().page
    assert page.locator(".chart:visible").count() == 4  # one over all tasks, three tasks
    page.get_by_label("Cost in the charts").select_option(label="adapter size")
    titles = page.locator(".chart:visible .title").all_text_contents()
    assert titles[::2] == ["Size of the saved adapter, head included (log)"] * 4


def test_a_link_shows_the_same_view(opened: Any) -> None:
    page = opened().page
    page.get_by_label("Cost in the charts").select_option(label="peak memory")
    page.get_by_label("peak memory MiB", exact=True).fill("1300")
    page.locator("[name='leaderboard.task']").select_option(label="us-address")
    page.locator("#leaderboard").get_by_label("all columns").check()
    heading(page, "Method").get_by_role("button").click()
    page.get_by_role("link", name="Recipes").click()
    view = """() => [location.hash, document.documentElement.dataset.cost,
        [...document.querySelectorAll("#leaderboard tbody tr:not([hidden]) th")].map((each) => each.textContent),
        document.querySelectorAll("#leaderboard thead th.more").length, scrollY > 1000]"""
    page.wait_for_function("location.hash.includes('at=recipes')")
    before = page.evaluate(view)
    assert before[1:3] == ["memory", ["bitfit", "head", "lora", "pasta"]]
    other = page.context.new_page()
    other.goto(page.url)
    assert other.evaluate(view) == before
    other.goto(page.url.partition("#")[0] + "#%")
    other.goto(page.url.partition("#")[0] + "#leaderboard.task=<b>&most-memory=x&nothing.sort=y&at=%00&cost=no")
    # What a link cannot mean is as it was at first.
    other.wait_for_function("document.documentElement.dataset.cost === 'share'")


def test_pointing_at_a_mark_leaves_the_others_pale(opened: Any) -> None:
    found = opened()
    page = found.page
    row = next(line for line in Tables(found.records).lines("overall") if line["method"] == "pasta")
    mark = page.locator(".wide .share .mark", has=page.locator("title", has_text="pasta"))
    assert mark.locator("title").text_content().splitlines()[:2] == ["pasta", f"score {row['score_mean']:.4f}"]
    other = page.locator(".wide .share .mark", has=page.locator("title", has_text="lora"))
    assert other.evaluate("(each) => getComputedStyle(each).opacity") == "1"
    mark.locator("use").hover()
    assert float(other.evaluate("(each) => getComputedStyle(each).opacity")) < 0.5


# Theme


def colours(page: Any) -> tuple[str, str, str]:
    """Of the page, of its text, and of one mark in a chart."""
    return tuple(
        page.evaluate(
            """() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
                getComputedStyle(document.querySelector(".mark .point")).fill]"""
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
    assert focused(page) == "2 trainings failed"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "cost"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused(page) == "Method" and page.evaluate("document.activeElement.tagName") == "BUTTON":
            break
    page.keyboard.press("Enter")
    names = column(page, "overall", "Method")  # the first table
    assert names == sorted(names)
    page.keyboard.press("Space")
    assert column(page, "overall", "Method") == names[::-1]


def test_everything_has_a_name(opened: Any) -> None:
    page = opened().page
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


def test_paper_has_every_chart(opened: Any, tmp_path: Path) -> None:
    page = opened(color_scheme="dark").page
    file = tmp_path / "page.pdf"
    page.pdf(path=file, prefer_css_page_size=True)
    assert file.read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator(".narrow .chart:visible").count() == 4  # one for each cost
    assert page.locator(".task .chart:visible").count() == 3
    assert page.locator(".panel:visible").count() == 11
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 31, 39)"  # the light theme's ink
    assert page.locator(".controls :is(select, input, button):visible").count() == 0
    assert page.locator("#leaderboard .count").is_visible()  # a filtered table says so


def test_no_row_is_tall_and_no_name_breaks_inside_a_word(opened: Any) -> None:
    page = opened().page
    page.locator("#leaderboard").get_by_label("all columns").check()
    heights = page.locator("#leaderboard tbody tr").evaluate_all("(rows) => rows.map((row) => row.clientHeight)")
    assert max(heights) < 70
    page = opened(**PHONE).page
    broken = page.locator("#overall tbody th bdi").evaluate_all(
        """(names) => names.filter((name) => new Set([...name.getClientRects()].map((each) => each.top)).size
            > 1 + name.querySelectorAll("wbr").length).map((name) => name.textContent)"""
    )
    assert broken == []
    box = page.locator("#overall td").first.bounding_box()
    assert box["x"] + box["width"] <= 360  # the first score is seen whole


def test_a_phone_never_scrolls_sideways(opened: Any) -> None:
    for name in ("small", "hostile"):
        page = opened(name, **PHONE).page
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
    for mark in page.locator(".mark use:visible").all()[:20]:
        mark.hover(force=True)
    tips = page.locator(".mark title").all_text_contents()
    assert {tip.partition("\n")[0] for tip in tips} >= {
        visible(f"{each}[{each}]").split("\n")[0] for each in many.HOSTILE
    }
    page.pdf()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, iframe, svg[onload], [onerror], [onmouseover]").count() == 0
    assert page.locator("script").count() == page.evaluate(
        "document.querySelectorAll('script[type=\"application/json\"]').length + 1"
    )
    methods = set(column(page, "leaderboard", "Method"))
    assert methods >= {visible(f"{text}[{text}]") for text in many.HOSTILE}
    assert set(column(page, "failures", "Reason")) == {visible(text) for text in many.HOSTILE}
    traces = page.locator("#failures pre").all_inner_texts()
    assert set(traces) == {visible(f"{text}\n{many.ALL_HOSTILE}") for text in many.HOSTILE}
    assert visible(many.ALL_HOSTILE) in page.locator("h3 bdi").all_text_contents()
