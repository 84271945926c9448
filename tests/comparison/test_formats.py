"""A comparison as text, Markdown, JUnit XML and JSON, whatever the records hold."""

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
from bench.comparison import formats
from bench.comparison.judge import RunComparison, compare_runs
from bench.comparison.measures import MEASURES
from bench.records.record import Record

NASTY = (
    "a|b `c` <script>alert(1)</script> &amp; *d* [e](http://f.g) \x1b[31mred\x1b[0m \x00\x08 @h\n"
    "second line \u202e\ufffe"
)


def seeds(method: str, score: float = 0.5, **changes: Any) -> list[Record]:
    return [measured(method, s, score * (1 + s / 50), **changes) for s in range(3)]


@pytest.fixture(scope="module")
def found() -> RunComparison:
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
    return compare_runs(base, new)


def test_two_models_of_one_comparison_are_named_in_every_row() -> None:
    of = [{"model": "one"}, {"model": "other"}]
    found = compare_runs(*([r for each in of for r in seeds("a", score, of=each)] for score in (0.9, 0.5)))
    text = formats.as_text(found)
    assert "a on sms-spam, one" in text
    assert "a on sms-spam, other" in text
    assert "sms-spam, one" not in formats.as_text(compare_runs(*(seeds("a", score, of=of[0]) for score in (0.9, 0.5))))


def test_the_text_has_regressions_first_and_a_summary_last(found: RunComparison) -> None:
    text = formats.as_text(found)
    lines = text.splitlines()
    assert lines[0].startswith("REGRESSION: breaks on sms-spam: succeeded before, now 3 error at seed 0, 1, 2: a|b")
    table = [" ".join(line.split()[:5]) for line in lines if line.startswith(("WORSE", "better"))]
    assert table == [
        "WORSE worse on sms-spam matthews", "WORSE worse on sms-spam trained", "better better on sms-spam bytes",
    ]  # fmt: skip
    start = next(at for at, line in enumerate(lines) if "figure" in line and "limit" in line)
    assert max(map(len, lines[start : start + 5])) <= 100  # fits a terminal
    rest = " ".join(text.split())
    assert "28 figures of 4 rows: 3 regressions, 1 improvement, 16 without a change that matters, 9 not judged." in rest
    assert "Not judged: other machine (A CPU, 2 cores; B CPU, 2 cores): train ex/s, eval ex/s of better on" in rest
    assert any("gone on sms-spam: missing" in line for line in lines)
    assert any("fresh on sms-spam: new" in line for line in lines)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_json_is_plain_and_has_the_columns_names(found: RunComparison) -> None:
    content = json.loads(json.dumps(formats.as_dict(found), allow_nan=False))
    assert content.keys() == {"verdict", "summary", "noise", "comparisons", "rows"}
    assert content["verdict"] == "regression"
    assert len(content["comparisons"]) == 4 * len(MEASURES)
    assert content["comparisons"][0].keys() == {
        "method", "method_params", "task", "model", "profile", "preset", "pooling", "metric", "quantity", "outcome",
        "base", "new", "change", "relative", "worse", "threshold", "p_value", "detectable", "n_seeds", "reason",
    }  # fmt: skip
    worse = [(c["method"], c["quantity"]) for c in content["comparisons"] if c["outcome"] == "regression"]
    assert worse == [("worse", "score"), ("worse", "trainable_params")]
    assert [(r["method"], r["event"]) for r in content["rows"] if r["regression"]] == [("breaks", "fails")]
    assert content["rows"][0]["reason"].endswith(NASTY)  # JSON escapes by itself


def test_markdown_shows_texts_as_they_are(found: RunComparison) -> None:
    text = formats.as_markdown(found)
    assert text.startswith("## ❌ Benchmark: regression\n")
    assert "<script>" not in text
    assert "a\\|b \\`c\\` &lt;script&gt;" in text
    assert "http://" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}
    assert "| worse on sms-spam | trained | 10 | 12 | +20.0 % | 0 % | exact |" in text


def test_junit_has_a_case_for_each_figure_and_counts_them(found: RunComparison) -> None:
    suite = ElementTree.fromstring(formats.as_junit(found)).find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert len(cases) == 4 * len(MEASURES) + 6  # and one a row, the missing and the new one among them
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    failures = [(c.get("classname", "").split()[-1], c.get("name")) for c in cases if c.find("failure") is not None]
    assert failures == [("breaks", "status"), ("worse", "score"), ("worse", "trainable_params")]
    assert (suite.get("tests"), suite.get("failures")) == (str(len(cases)), "3")
    assert suite.get("skipped") == str(len(suite.findall("testcase/skipped"))) == "10"
    message = suite.findall("testcase/failure")[1].get("message", "")
    assert message == formats.sentence(found.of("regression")[0], found)


def test_no_regression_and_nothing_comparable_in_every_format() -> None:
    same, nothing = compare_runs(seeds("a"), seeds("a")), compare_runs([], seeds("a"))
    assert "✅ Benchmark: no regression" in formats.as_markdown(same)
    assert "⚠️ Benchmark: nothing comparable" in formats.as_markdown(nothing)
    assert not any("<failure" in formats.as_junit(each) for each in (same, nothing))
    assert "a on sms-spam: new" in formats.as_text(nothing)
    assert formats.as_text(compare_runs([], [])).startswith("Nothing to compare.")


@settings(max_examples=60)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=60))
def test_any_text_is_legal_everywhere(text: str) -> None:
    new = [failed("a", s, "error", reason=text, of={"variant": text}) for s in range(2)]
    found = compare_runs([measured("a", s, of={"variant": text}) for s in range(2)], new)
    junit, shown, markdown = formats.as_junit(found), formats.as_text(found), formats.as_markdown(found)
    ElementTree.fromstring(junit)
    assert "<failure" in junit
    for each in (junit, shown, markdown):
        each.encode("utf-8")
    assert not sanitize._ILLEGAL.search(shown)
    assert not re.search(r"(?m)^\|.*(?<!\\)\|{2}", markdown)
    assert "<" not in markdown.replace("<details><summary>", "").replace("</summary>", "").replace("</details>", "")


def test_numbers_for_people() -> None:
    found = compare_runs(seeds("a", train=50.0, trainable=0), seeds("a", train=5000.0, trainable=1))
    shown = {judgement.measure.name: formats.cells(judgement, found) for judgement in found.judgements}
    speed, trained, size = (shown[n] for n in ("train_examples_per_second", "trainable_params", "adapter_bytes"))
    assert [speed[key] for key in ("base", "new", "change", "limit")] == ["50.0", "5,000", "+9900.0 %", "20 %"]
    assert (trained["change"], size["change"]) == ("-", "+0.0 %")
    not_judged = compare_runs(seeds("a", adapter_bytes=None), seeds("a")).of("not judged")
    assert formats.cells(not_judged[0], found)["base"] == "-"


def test_the_detectable_change_is_said() -> None:
    base = [measured("a", s, 0.5 + s / 10, train=t) for s, t in enumerate((50.0, 51.0, 49.0))]
    new = [measured("a", s, 0.5 + s / 11, train=t) for s, t in enumerate((10.0, 500.0, 49.0))]
    assert re.fullmatch(
        r"The smallest change that one test alone detects with 80 % power: score 0\.\d{3}; train ex/s over 100 %; "
        r"eval ex/s 1 %; train MiB 1 %; eval MiB 1 %\.",
        formats.detectable(compare_runs(base, new)),
    )
    assert formats.detectable(compare_runs([], [])) == ""
