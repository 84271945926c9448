"""What is said of a checked plugin, to people and to programs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from bench.check import Outcome
from bench.check.plugins import Plugin


@dataclass(frozen=True)
class Report:
    """A plugin and what became of its clauses."""

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
        """For JSON."""
        clauses = [dataclasses.asdict(outcome) for outcome in self.outcomes]
        return {"plugin": self.plugin.spec, "type": self.plugin.type, "status": self.status, "clauses": clauses}

    def lines(self) -> list[str]:
        """One line that says how it stands, and one for each clause that is broken or does not apply."""
        count = len({outcome.clause for outcome in self.outcomes})
        kinds = list(dict.fromkeys(outcome.on for outcome in self.outcomes if outcome.on))
        on = f" on {len(kinds)} kinds of task" if kinds else ""
        broken = len({outcome.clause for outcome in self.outcomes if outcome.status == "failed"})
        said = {
            "ok": f"{count} clauses{on}: ok",
            "failed": f"{broken} of {count} clauses broken",
            "not checked": "not checked",
        }[self.status]
        where: dict[tuple[str, str | None], list[str]] = {}
        for outcome in self.outcomes:
            if outcome.status != "ok":
                name = outcome.clause if outcome.status == "failed" else "does not apply"
                where.setdefault((name, outcome.reason), []).append(outcome.on or "")
        return [
            f"{self.plugin.spec}: {said}",
            *(f"  {name}{_places(found, kinds)}: {reason}" for (name, reason), found in where.items()),
        ]


def _places(found: list[str], kinds: list[str]) -> str:
    """In brackets the kinds of task, unless it is all of them."""
    return "" if len(found) == len(kinds) or not any(found) else f" ({', '.join(found)})"
