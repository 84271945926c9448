"""How a comparison is told: as text, Markdown, JUnit XML and JSON; whatever stands in the records."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import MACHINE, failed, measured

from bench import sanitize
from bench.comparison import formats, messages
from bench.comparison.judging import Report, compare
from bench.comparison.junit import as_junit
from bench.comparison.measures import QUANTITIES
from bench.records.record import Record

NASTY = (
    "a|b `c` <script>alert(1)</script> &amp; *d* [e](http://f.g) \x1b[31mred\x1b[0m \x00\x08 @h\n"
    "second line \u202e\ufffe"
)


def seeds(method: str, score: float = 0.5, **changes: Any) -> list[Record]:
    return [measured(method, s, score * (1 + s / 50), **changes) for s in range(3)]


@pytest.fixture
def report() -> Report:
    """Worse, better, failed, new, missing, unchanged, and throughput of another machine."""
    base = [*seeds("worse", 0.9), *seeds("better"), *seeds("same"), *seeds("breaks"), *seeds("gone")]
    other = {**MACHINE, "cpu_model": "B CPU"}
    new = [
        *seeds("worse", 0.7, trainable=12),
        *seeds("better", adapter_bytes=500, machine=other),
        *seeds("same"),
        *(failed("breaks", s, "error", reason=NASTY) for s in range(3)),
        *seeds("fresh"),
    ]
    return compare(base, new)


def test_the_text_has_regressions_first_and_a_summary_last(report: Report) -> None:
    lines = formats.text(report).splitlines()
    assert lines[0].startswith("REGRESSION: breaks on sms-spam: succeeded before, now 3 error at seed 0, 1, 2: a|b")
    table = [line.split()[:5] for line in lines if line.startswith(("WORSE", "better"))]
    assert table == [
        ["WORSE", "worse", "on", "sms-spam", "matthews"],
        ["WORSE", "worse", "on", "sms-spam", "trained"],
        ["better", "better", "on", "sms-spam", "bytes"],
    ]
    rest = " ".join(" ".join(lines).split())
    assert "28 figures of 4 rows: 3 regressions, 1 improvement, 16 without a change that matters, 9 not judged." in rest
    assert "other machine (A CPU, 2 cores; B CPU, 2 cores): train ex/s, eval ex/s of better on sms-spam" in rest
    assert any("gone on sms-spam: missing" in line for line in lines)
    assert any("fresh on sms-spam: new" in line for line in lines)


def test_the_table_fits_a_terminal(report: Report) -> None:
    lines = formats.text(report).splitlines()
    start = next(at for at, line in enumerate(lines) if "figure" in line and "limit" in line)
    assert max(map(len, lines[start : start + 5])) <= 100


def test_a_regression_in_a_sentence(report: Report) -> None:
    worse, trained = report.of("regression")
    assert messages.sentence(worse) == (
        "worse on sms-spam: matthews got worse: from 0.9180 to 0.7140 (-0.2040; threshold 0.01; "
        f"p {messages.p_value(worse)}; 3 seeds)."
    )
    assert messages.sentence(trained) == (
        "worse on sms-spam: trainable_params got worse: from 10 to 12 (+20.0 %; threshold 0 %; exact; 3 seeds)."
    )


def test_no_control_character_reaches_a_terminal(report: Report) -> None:
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", formats.text(report))


def test_json_is_plain_and_has_the_columns_names(report: Report) -> None:
    found = json.loads(json.dumps(formats.as_dict(report), allow_nan=False))
    assert found["verdict"] == "regression"
    first = found["comparisons"][0]
    assert {"method", "method_params", "task", "model", "profile", "preset", "metric", "n_seeds"} <= first.keys()
    assert len(found["comparisons"]) == 4 * len(QUANTITIES)
    worse = [(c["method"], c["quantity"]) for c in found["comparisons"] if c["outcome"] == "regression"]
    assert worse == [("worse", "score"), ("worse", "trainable_params")]
    assert [(r["method"], r["event"]) for r in found["rows"] if r["regression"]] == [("breaks", "fails")]
    assert found["rows"][0]["reason"].endswith(NASTY)  # JSON escapes by itself


def test_markdown_shows_what_is_written_as_it_is_written(report: Report) -> None:
    text = formats.as_markdown(report)
    assert text.startswith("## ❌ Benchmark: regression\n")
    assert "<script>" not in text
    assert "a\\|b \\`c\\` &lt;script&gt;" in text
    assert "http://" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}
    assert "| worse on sms-spam | trained | 10 | 12 | +20.0 % | 0 % | exact |" in text


def test_junit_has_a_case_for_each_figure_and_counts_them(report: Report) -> None:
    suite = ElementTree.fromstring(as_junit(report)).find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert len(cases) == 4 * len(QUANTITIES) + 6  # and one a row, the missing and the new one among them
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    failures = [(c.get("classname", "").split()[-1], c.get("name")) for c in cases if c.find("failure") is not None]
    assert failures == [("breaks", "status"), ("worse", "score"), ("worse", "trainable_params")]
    assert (suite.get("tests"), suite.get("failures")) == (str(len(cases)), "3")
    assert suite.get("skipped") == str(len(suite.findall("testcase/skipped"))) == "10"
    message = suite.findall("testcase/failure")[1].get("message", "")
    assert message == messages.sentence(report.of("regression")[0])


def test_a_run_without_regressions(report: Report) -> None:
    report = compare(seeds("a"), seeds("a"))
    assert "✅ Benchmark: no regression" in formats.as_markdown(report)
    assert "<failure" not in as_junit(report)
    assert formats.as_dict(report)["verdict"] == "no regression"


def test_nothing_comparable_is_said_in_every_format() -> None:
    report = compare([], seeds("a"))
    assert "⚠️ Benchmark: nothing comparable" in formats.as_markdown(report)
    assert "a on sms-spam: new" in formats.text(report)
    ElementTree.fromstring(as_junit(report))
    assert formats.text(compare([], [])).startswith("Nothing to compare.")


@settings(max_examples=60)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=60))
def test_any_text_is_legal_everywhere(text: str) -> None:
    new = [failed("a", s, "error", reason=text, of={"variant": text}) for s in range(2)]
    base = [measured("a", s, of={"variant": text}) for s in range(2)]
    report = compare(base, new)
    ElementTree.fromstring(as_junit(report))
    as_junit(report).encode("utf-8")
    assert "<failure" in as_junit(report)
    shown = formats.text(report)
    assert not sanitize._ILLEGAL.search(shown)
    shown.encode("utf-8")
    markdown = formats.as_markdown(report)
    markdown.encode("utf-8")
    assert not re.search(r"(?m)^\|.*(?<!\\)\|{2}", markdown)
    assert "<" not in markdown.replace("<details><summary>", "").replace("</summary>", "").replace("</details>", "")


def test_numbers_for_people() -> None:
    report = compare(seeds("a", train=50.0, trainable=0), seeds("a", train=5000.0, trainable=1))
    by_name = {judgement.quantity.name: judgement for judgement in report.judgements}
    speed, trained, size = (by_name[n] for n in ("train_examples_per_second", "trainable_params", "adapter_bytes"))
    assert (messages.number(speed, speed.base), messages.number(speed, speed.new)) == ("50.0", "5,000")
    assert (messages.change(speed), messages.threshold(speed)) == ("+9900.0 %", "20 %")
    assert (messages.change(trained), messages.change(size)) == ("-", "+0.0 %")
    assert messages.number(speed, None) == "-"


def test_how_much_would_have_gone_unseen_is_said() -> None:
    base = [measured("a", s, 0.5 + s / 10, train=t) for s, t in enumerate((50.0, 51.0, 49.0))]
    new = [measured("a", s, 0.5 + s / 11, train=t) for s, t in enumerate((10.0, 500.0, 49.0))]
    told = messages.blind_spot(compare(base, new)) or ""
    assert re.fullmatch(
        r"The smallest change that one test alone finds four times of five: score 0\.\d{3}; train ex/s over 100 %; "
        r"eval ex/s 1 %; train MiB 1 %; eval MiB 1 %\.",
        told,
    )
    assert messages.blind_spot(compare([], [])) is None
