"""`python -m bench check` on files of a third party, as a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.check import checking
from bench.check.checks import Outcome, Report
from bench.check.selection import Plugin, select
from bench.plugins import registry

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOOD, FAULTY, HANGING = HERE / "honest_plugins.py", HERE / "faulty.py", HERE / "hanging.py"


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "check", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_plugins_that_keep_the_contract() -> None:
    done = check("shift[std=0.1]", "seasons", "--plugin", GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["shift[std=0.1]: 15 checks on 4 kinds of task: ok", "seasons: 11 checks: ok"]


def test_a_file_of_faulty_plugins_as_json() -> None:
    done = check(FAULTY, "--no-data", "--json")
    assert done.returncode == 1
    lonely, crashes = json.loads(done.stdout)
    assert (lonely["plugin"], lonely["type"], lonely["status"]) == ("lonely", "task", "failed")
    assert lonely["clauses"] == [
        {
            "clause": "registered",
            "promise": "The plugin can be imported and defines what a plugin must.",
            "status": "failed",
            "reason": "Lonely.labels must name at least two labels",
            "on": None,
        }
    ]
    assert (crashes["plugin"], crashes["type"], crashes["status"]) == ("crashes", "method", "failed")
    (crash,) = crashes["clauses"]
    assert crash["clause"] == "finishes"
    assert crash["reason"].endswith(", during the check applies")


def test_a_plugin_that_hangs_is_given_up() -> None:
    plugin = Plugin("hangs", "task")
    (report,) = checking.check([plugin], checking.Inputs((HANGING,), data={"hangs": GOOD}), timeout=1)
    (outcome,) = report.outcomes
    assert (outcome.check, outcome.status, report.status) == ("finishes", "failed", "failed")


def test_everything_is_meant_where_nothing_is_named() -> None:
    found, files = select([], [FAULTY])
    names = {each.spec for each in found if each.error is None}
    assert {*registry.methods().names(), *registry.tasks().names(), "crashes"} <= names
    assert [each for each in found if each.error] == [
        Plugin("lonely", "task", "Lonely.labels must name at least two labels")
    ]
    assert files == [FAULTY]


def test_a_name_twice_is_checked_once_and_a_broken_one_is_no_wrong_use() -> None:
    found, _ = select(["pasta", "pasta", "pasta[init_std=0]", "lonely"], [FAULTY])
    assert [(each.spec, each.type, bool(each.error)) for each in found] == [
        ("pasta", "method", False),
        ("pasta[init_std=0]", "method", False),
        ("lonely", "task", True),
    ]


def test_a_file_that_cannot_be_imported_is_reported(tmp_path: Path) -> None:
    broken = tmp_path / "damaged.py"
    broken.write_text("raise LookupError('no luck')")
    found, _ = select([str(broken)], [])
    assert found == [Plugin("damaged", "file", "LookupError: no luck")]
    everything, _ = select([], [broken])
    assert [each for each in everything if each.error] == found


def lines(*outcomes: tuple[str, str | None, str | None]) -> list[str]:
    made = [Outcome(check, "It does.", "failed" if reason else "ok", reason, on) for check, on, reason in outcomes]
    return Report(Plugin("x", "method"), made).lines()


def test_what_people_read() -> None:
    assert lines(("a", None, None), ("b", None, None)) == ["x: 2 checks: ok"]
    assert lines(("a", "pair", None), ("a", "regression", None)) == ["x: 1 checks on 2 kinds of task: ok"]
    found = lines(("a", "pair", "no"), ("a", "regression", "no"), ("b", "pair", "nor this"), ("b", "regression", None))
    assert found == ["x: 2 of 2 checks failed", "  a: no", "  b (pair): nor this"]
    assert lines(("a", None, "no")) == ["x: 1 of 1 checks failed", "  a: no"]
