"""A comparison as JUnit XML: a test case for each figure of each row, and one for what became of the row.

The dialect is the common one of Jenkins, GitLab and the actions that show test reports: `testsuites`, `testsuite` and
`testcase` with `failure` or `skipped`.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import defaultdict

from bench.comparison import messages
from bench.comparison.judging import Judgement, Report
from bench.comparison.rows import ALL_ROWS, Event
from bench.leaderboard.rows import Row
from bench.sanitize import legal

NAME = "bench compare"


def as_junit(report: Report) -> str:
    """The report as an XML document. Whatever a text holds, the document is well-formed."""
    suite = ElementTree.Element("testsuite", name=NAME)
    events: dict[Row, list[Event]] = defaultdict(list)
    for event in report.events:
        events[event.row].append(event)
    judged = {judgement.row for judgement in report.judgements}
    for row in sorted((judged | events.keys()) - {ALL_ROWS}):
        _add_row(suite, row, events[row])
    for judgement in report.judgements:
        _add(suite, judgement)
    for kind, tag in (("tests", "testcase"), ("failures", "testcase/failure"), ("skipped", "testcase/skipped")):
        suite.set(kind, str(len(suite.findall(tag))))
    suite.set("errors", "0")
    root = ElementTree.Element("testsuites", dict(suite.attrib))
    root.append(suite)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _case(suite: ElementTree.Element, row: Row, name: str) -> ElementTree.Element:
    """classname groups the cases of one row. Profile and preset are in it: two rows may differ in these alone."""
    group = row.group
    classname = " ".join(filter(None, (group.model, group.profile, group.preset, group.task, row.label)))
    return ElementTree.SubElement(suite, "testcase", classname=legal(classname), name=name, time="0")


def _add_row(suite: ElementTree.Element, row: Row, events: list[Event]) -> None:
    case = _case(suite, row, "status")
    sentences = [messages.event_sentence(event) for event in events if event.regression]
    if sentences:
        _say(case, "failure", " ".join(sentences), "regression")
        return
    unjudged = [messages.event_sentence(e) for e in events if e.what in ("missing", "incomparable", "interrupted")]
    if unjudged:
        _say(case, "skipped", " ".join(unjudged), None)


def _add(suite: ElementTree.Element, judgement: Judgement) -> None:
    case = _case(suite, judgement.row, judgement.quantity.name)
    if judgement.outcome == "regression":
        _say(case, "failure", messages.sentence(judgement), "regression")
    elif judgement.outcome == "not judged":
        _say(case, "skipped", messages.sentence(judgement), None)


def _say(case: ElementTree.Element, tag: str, sentence: str, kind: str | None) -> None:
    """sentence: of `wording`, whose sentences hold no character that XML may not."""
    attributes = {"message": sentence} | ({"type": kind} if kind else {})
    ElementTree.SubElement(case, tag, attributes).text = sentence
