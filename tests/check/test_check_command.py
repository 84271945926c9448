"""`python -m bench check` on files of a third party."""

import json
from pathlib import Path

import pytest
from commandline import Bench

from bench.check import checking
from bench.check.checking import Plugin, Report, select
from bench.check.checks import Outcome
from bench.plugins import registry

HERE = Path(__file__).parent
GOOD, FAULTY = HERE / "honest_plugins.py", HERE / "faulty.py"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins' files import each other, in workers too."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))


@pytest.mark.slow
def test_a_method_that_keeps_the_contract(bench: Bench) -> None:
    done = bench("check", "shift[std=0.1]", "--plugin", GOOD)
    assert (done.code, done.out, done.err) == (0, "shift[std=0.1]: 12 checks on 5 kinds of task: ok\n", "")


@pytest.mark.slow
def test_tasks_good_and_bad_as_json(bench: Bench) -> None:
    done = bench("check", "seasons", "crashes", "lonely", "--plugin", GOOD, "--plugin", FAULTY, "--json")
    assert (done.code, done.err) == (1, "")
    found = {each["plugin"]: each for each in json.loads(done.out)}
    assert {name: (each["type"], each["status"]) for name, each in found.items()} == {
        "lonely": ("task", "failed"),
        "seasons": ("task", "ok"),
        "crashes": ("task", "failed"),
    }
    assert found["lonely"]["checks"] == [
        {
            "check": "registered",
            "requirement": "The plugin can be imported and defines what a plugin must.",
            "status": "failed",
            "reason": "Lonely.labels must name at least two labels",
            "on": None,
        }
    ]
    (crash,) = found["crashes"]["checks"]
    assert crash["check"] == "finishes"
    assert crash["reason"].endswith(", during the check reads")


def test_a_plugin_that_hangs_is_given_up() -> None:
    (report,) = checking.check([Plugin("hangs", "task")], [FAULTY], None, {"hangs": GOOD}, timeout=1)
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
