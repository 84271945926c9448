"""A check of the plugin contract, and its outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from bench.errors import NotApplicable, first_line

S = TypeVar("S")
OnProgress = Callable[[dict[str, Any]], None]  # called with the check that begins, and the kind of task
Check = Callable[[S], Iterator[str]]
"""A function whose docstring is a requirement. It yields what violates it; the first error is reported."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    on: the kind of task that a method was tried on; None for a check of a task. reason: why the check failed or was
    skipped; None where it passed. A note requires nothing: reason is what it says.
    """

    check: str
    requirement: str
    status: Literal["ok", "failed", "skipped", "note"]
    reason: str | None = None
    on: str | None = None


def check_name(check: Check[Any]) -> str:
    return check.__name__.replace("_", "-")


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
