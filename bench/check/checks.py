"""A check of the plugin contract, its outcome, and the report on a plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from bench.check.selection import Plugin
from bench.errors import NotApplicable, first_line

S = TypeVar("S")
OnProgress = Callable[[dict[str, Any]], None]  # called with the check that begins, and the kind of task


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    on: the kind of task that a method was tried on; None for a check of a task. reason: why the check failed or was
    skipped; None where it passed.
    """

    check: str
    requirement: str
    status: Literal["ok", "failed", "skipped"]
    reason: str | None = None
    on: str | None = None


Check = Callable[[S], Iterator[str]]
"""A function whose docstring is a requirement. It yields what violates it; the first error is reported."""


def run_check(check: Check[S], subject: S, on: str | None = None) -> Outcome:
    """Whatever the plugin raises fails the check, except that a method does not apply."""
    name, requirement = check_name(check), check.__doc__ or ""
    try:
        reason = next(check(subject), None)
    except NotApplicable as error:
        return Outcome(name, requirement, "skipped", str(error), on)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may fail in any way
        reason = first_line(error)
    return Outcome(name, requirement, "failed" if reason else "ok", reason, on)


def check_name(check: Check[Any]) -> str:
    return check.__name__.replace("_", "-")


def run_checks(
    checks: Sequence[Check[S]], subject: S, report: OnProgress = lambda progress: None, on: str | None = None
) -> Iterator[Outcome]:
    """All checks; only the first, if it does not pass: then there is nothing for the others to examine."""
    for check in checks:
        report({"check": check_name(check), "on": on})
        outcome = run_check(check, subject, on)
        yield outcome
        if check is checks[0] and outcome.status != "ok":
            return


@dataclass(frozen=True)
class Report:
    """A plugin and the outcomes of its checks."""

    plugin: Plugin
    outcomes: list[Outcome]

    @property
    def status(self) -> Literal["ok", "failed", "not checked"]:
        """`not checked`: a method that applies to no kind of task on this encoder."""
        found = {outcome.status for outcome in self.outcomes}
        if "failed" in found:
            return "failed"
        return "ok" if "ok" in found else "not checked"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; these keys are public, and older than the words of this module."""
        keys = {"clause": "check", "promise": "requirement", "status": "status", "reason": "reason", "on": "on"}
        checks = [{key: getattr(outcome, name) for key, name in keys.items()} for outcome in self.outcomes]
        return {"plugin": self.plugin.spec, "type": self.plugin.type, "status": self.status, "clauses": checks}

    def lines(self) -> list[str]:
        """One line with the status, and one for each check that failed or was skipped."""
        count = len({outcome.check for outcome in self.outcomes})
        kinds = list(dict.fromkeys(outcome.on for outcome in self.outcomes if outcome.on))
        on = f" on {len(kinds)} kinds of task" if kinds else ""
        failed = len({outcome.check for outcome in self.outcomes if outcome.status == "failed"})
        status = {
            "ok": f"{count} checks{on}: ok",
            "failed": f"{failed} of {count} checks failed",
            "not checked": "not checked",
        }[self.status]
        places: dict[tuple[str, str | None], list[str]] = {}
        for outcome in self.outcomes:
            if outcome.status != "ok":
                name = outcome.check if outcome.status == "failed" else "does not apply"
                places.setdefault((name, outcome.reason), []).append(outcome.on or "")
        return [
            f"{self.plugin.spec}: {status}",
            *(f"  {name}{_where(on, kinds)}: {reason}" for (name, reason), on in places.items()),
        ]


def _where(on: list[str], kinds: list[str]) -> str:
    """The kinds of task in brackets, unless it is all of them."""
    return "" if len(on) == len(kinds) or not any(on) else f" ({', '.join(on)})"
