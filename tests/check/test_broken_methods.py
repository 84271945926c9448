"""Each clause catches the methods that break its promise; a method that keeps all of them passes."""

import broken_methods
import pytest
from honest_plugins import Shift

from bench.check.checking import method_outcomes
from bench.check.encoder import Encoder
from bench.check.method_checks import EVERY_KIND, ONE_KIND
from bench.check.plugins import Plugin
from bench.check.report import Report
from bench.check.trial import Trial
from bench.plugins.method import Method

CLAUSES = {clause.name: clause for clause in (*EVERY_KIND, *ONE_KIND)}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.random()


def make(plugin: type[Method]) -> Method:
    return plugin(plugin.Params())


def test_every_clause_has_a_method_that_breaks_it() -> None:
    assert broken_methods.BROKEN.keys() == CLAUSES.keys()


def test_a_method_that_keeps_the_contract_passes(encoder: Encoder) -> None:
    outcomes = list(method_outcomes(lambda: make(Shift), encoder))
    assert [outcome for outcome in outcomes if outcome.status != "ok"] == []
    assert len(outcomes) == 4 * len(EVERY_KIND) + len(ONE_KIND)


@pytest.mark.parametrize(
    ("clause", "plugin"), [(clause, plugin) for clause, every in broken_methods.BROKEN.items() for plugin in every]
)
def test_a_broken_promise_is_caught_and_named(encoder: Encoder, clause: str, plugin: type[Method]) -> None:
    trial = Trial(lambda: make(plugin), "classification", encoder)
    looked_at = [CLAUSES["applies"]] if clause == "applies" else list(CLAUSES.values())
    failed = {found.clause: found.reason for found in (each.check(trial) for each in looked_at) if found.status != "ok"}
    assert broken_methods.BROKEN[clause][plugin] in (failed[clause] or "")
    assert failed.keys() == {clause} | broken_methods.ALSO[plugin], failed


def test_where_a_method_cannot_be_applied_nothing_else_is_said(encoder: Encoder) -> None:
    outcomes = list(method_outcomes(lambda: make(broken_methods.Raises), encoder))
    assert [outcome.clause for outcome in outcomes] == ["applies"] * 4
    outcomes = list(method_outcomes(lambda: make(broken_methods.AppliesToNothing), encoder))
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [("skipped", "it is for other encoders")] * 4
    report = Report(Plugin("x", "method"), outcomes)
    assert report.status == "not checked"
    assert report.lines() == ["x: not checked", "  does not apply: it is for other encoders"]
