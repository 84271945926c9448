"""Each check finds the methods that violate its requirement; a method that meets all of them passes."""

import pytest
from broken import Broken
from broken_methods import BROKEN, AppliesToNothing
from honest_plugins import Shift

from bench.check.checking import Plugin, Report
from bench.check.checks import Outcome, check_name, run_check
from bench.check.encoder import encoder_of
from bench.check.method_checks import EVERY_KIND, ONE_KIND, method_outcomes
from bench.check.trial import Trial
from bench.plugins import Method

CHECKS = {check_name(check): check for check in (*EVERY_KIND, *ONE_KIND)}


def outcomes_of(plugin: type[Method]) -> list[Outcome]:
    return list(method_outcomes(lambda: plugin(plugin.Params()), encoder_of(None)))


def test_every_check_has_a_method_that_fails_it() -> None:
    assert {broken.check for broken in BROKEN} == CHECKS.keys()


def test_a_method_that_keeps_the_contract_passes() -> None:
    outcomes = outcomes_of(Shift)
    assert [outcome for outcome in outcomes if outcome.status != "ok"] == []
    assert len(outcomes) == 5 * len(EVERY_KIND) + len(ONE_KIND)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: f"{broken.check}-{broken.plugin.name}")
def test_a_violation_is_found_and_named(broken: Broken) -> None:
    trial = Trial(lambda: broken.plugin(broken.plugin.Params()), "classification", encoder_of(None))
    examined = [CHECKS["applies"]] if broken.check == "applies" else list(CHECKS.values())
    failed = {
        found.check: found.reason for found in (run_check(each, trial) for each in examined) if found.status != "ok"
    }
    assert broken.error in (failed[broken.check] or "")
    assert failed.keys() == {broken.check, *broken.also}, failed


def test_where_a_method_cannot_be_applied_no_other_check_runs() -> None:
    assert [outcome.check for outcome in outcomes_of(BROKEN[0].plugin)] == ["applies"] * 5
    outcomes = outcomes_of(AppliesToNothing)
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [("skipped", "it is for other encoders")] * 5
    report = Report(Plugin("x", "method"), outcomes)
    assert report.status == "not checked"
    assert report.lines() == ["x: not checked", "  does not apply: it is for other encoders"]
