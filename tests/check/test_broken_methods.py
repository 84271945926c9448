"""Each check finds the methods that violate its requirement; a method that meets all of them passes."""

import broken_methods
import pytest
from honest_plugins import Shift

from bench.check.checks import Report, check_name, run_check
from bench.check.encoder import Encoder
from bench.check.method_checks import EVERY_KIND, ONE_KIND, method_outcomes
from bench.check.selection import Plugin
from bench.check.trial import Trial
from bench.plugins import Method

CHECKS = {check_name(check): check for check in (*EVERY_KIND, *ONE_KIND)}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.random()


def make(plugin: type[Method]) -> Method:
    return plugin(plugin.Params())


def test_every_check_has_a_method_that_fails_it() -> None:
    assert broken_methods.BROKEN.keys() == CHECKS.keys()


def test_a_method_that_keeps_the_contract_passes(encoder: Encoder) -> None:
    outcomes = list(method_outcomes(lambda: make(Shift), encoder))
    assert [outcome for outcome in outcomes if outcome.status != "ok"] == []
    assert len(outcomes) == 4 * len(EVERY_KIND) + len(ONE_KIND)


@pytest.mark.parametrize(
    ("check", "plugin"), [(check, plugin) for check, every in broken_methods.BROKEN.items() for plugin in every]
)
def test_a_violation_is_found_and_named(encoder: Encoder, check: str, plugin: type[Method]) -> None:
    trial = Trial(lambda: make(plugin), "classification", encoder)
    examined = [CHECKS["applies"]] if check == "applies" else list(CHECKS.values())
    failed = {
        found.check: found.reason for found in (run_check(each, trial) for each in examined) if found.status != "ok"
    }
    assert broken_methods.BROKEN[check][plugin] in (failed[check] or "")
    assert failed.keys() == {check} | broken_methods.ALSO[plugin], failed


def test_where_a_method_cannot_be_applied_no_other_check_runs(encoder: Encoder) -> None:
    broken = next(iter(broken_methods.BROKEN["applies"]))
    outcomes = list(method_outcomes(lambda: make(broken), encoder))
    assert [outcome.check for outcome in outcomes] == ["applies"] * 4
    outcomes = list(method_outcomes(lambda: make(broken_methods.AppliesToNothing), encoder))
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [("skipped", "it is for other encoders")] * 4
    report = Report(Plugin("x", "method"), outcomes)
    assert report.status == "not checked"
    assert report.lines() == ["x: not checked", "  does not apply: it is for other encoders"]
