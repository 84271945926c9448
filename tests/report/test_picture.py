"""The picture of a board: an SVG file that needs no style sheet, and shows what the page's chart shows."""

from __future__ import annotations

from xml.etree import ElementTree

from made import failed, parameters, record

from bench.records.record import Record
from bench.report.picture import picture

SVG = "{http://www.w3.org/2000/svg}"


def board() -> list[Record]:
    return [
        record(method, seed, score + seed / 100, of={"task": task}, parameters=parameters(share_percent=share))
        for method, score, share in (("head", 0.5, 0.0), ("<b>&amp;", 0.7, 0.02), ("full", 0.8, 100.0))
        for task in ("one", "two")
        for seed in range(2)
    ]


def test_it_is_a_file_of_its_own_with_a_mark_a_method() -> None:
    drawn = picture(board())
    assert drawn is not None
    assert "var(" not in drawn
    root = ElementTree.fromstring(drawn)
    assert root.findtext(f"{SVG}title") == "Mean score over 2 tasks against trainable share: minilm-l6, profile cpu, " \
        "suite quick"  # fmt: skip
    marks = [group for group in root.iter(f"{SVG}g") if "mark" in group.get("class", "")]
    assert [mark.findtext(f"{SVG}text") for mark in marks] == ["full", "<b>&amp;", "head"]
    assert picture(reversed(board())) == drawn


def test_without_scores_there_is_none() -> None:
    assert picture([failed("head"), failed("full")]) is None
