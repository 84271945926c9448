"""The plugin contract: what every method and every task promises, in clauses that are checked one by one.

A clause is a sentence and a function that looks for a fault. `method_clauses` and `task_clauses` hold them, `trial`
and `reading` what they look at, `checking` finds the plugins that are meant and goes through their clauses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from bench.errors import NotApplicable

S = TypeVar("S")


@dataclass(frozen=True)
class Outcome:
    """What became of one clause.

    on: the kind of task that a method was tried on; None for a task's own clauses. reason: why the clause is
    broken, or does not apply; None where it holds.
    """

    clause: str
    promise: str
    status: Literal["ok", "failed", "skipped"]
    reason: str | None = None
    on: str | None = None


@dataclass(frozen=True)
class Clause(Generic[S]):
    """One promise, and how a breach of it is found.

    fault: looks at a plugin and says in a sentence how it breaks the promise; None: it keeps it.
    """

    name: str
    promise: str
    fault: Callable[[S], str | None]

    def check(self, subject: S, on: str | None = None) -> Outcome:
        """Whatever the plugin raises is the clause's failure, save that it does not apply."""
        try:
            reason = self.fault(subject)
        except NotApplicable as error:
            return Outcome(self.name, self.promise, "skipped", str(error), on)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may fail in any way
            reason = first_line(error)
        return Outcome(self.name, self.promise, "failed" if reason else "ok", reason, on)


def clause(promise: str) -> Callable[[Callable[[S], str | None]], Clause[S]]:
    """Make a function that looks for a fault into a clause of that promise, under the function's name."""
    return lambda fault: Clause(fault.__name__.replace("_", "-"), promise, fault)


def first_line(error: BaseException) -> str:
    """`TypeName: message`, the message's first line; the bare type name where there is none."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
