"""What a cell is: one point of the grid, its identity, and the code version that its numbers depend on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from bench.grid.plugin_code import meaning, sources
from bench.grid.suites import Budget
from bench.plugins.specs import method_label
from bench.plugins.task import Pooling
from bench.profiles import Profile

# Raise it with a change in bench/ that moves a number of a cell: a loss, an answer, a score, a count. Every cell then
# has another id. tests/golden fails where it was forgotten. Plugins' own files need no raise: they are hashed.
NUMERICS = 2
NUMERIC_LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "numpy", "scipy", "scikit-learn", "seqeval")


class Cell(BaseModel):
    """One training and its evaluation. Everything here, and nothing else, is its identity.

    params: all parameters of the method. variant: those that differ from the defaults, as text.
    model: see `bench.grid.models.resolved`. *_source: the references, with the commit where the hub was asked for it;
    *_revision: what they resolved to (a mirror may differ from the hub).
    recipe: settings that a suite puts in the place of the method's own. pooling: what the suite asks for, whatever the
    method makes of it; "model" for token classification, which reads every token's state. code: see `code_version`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    params: dict[str, Any]
    variant: str
    task: str
    task_source: str
    task_revision: str
    model: str
    model_source: str
    model_revision: str
    profile: Profile
    preset: str
    budget: Budget
    recipe: dict[str, Any]
    pooling: Pooling = "model"
    seed: int
    code: str

    @field_validator("params", "recipe")
    @classmethod
    def _finite(cls, values: dict[str, Any]) -> dict[str, Any]:
        """JSON, of which the id is made, has no text of its own for a number that is not finite."""
        json.dumps(values, allow_nan=False)
        return values

    @property
    def id(self) -> str:
        """16 hex digits: a hash of every field, save the profile's text for people."""
        # What there was before there was a choice has the id that it had.
        former = {"score_on": "test", "validate_every": None}
        of_budget = {name for name, value in former.items() if getattr(self.budget, name) == value}
        of_profile = {name for name in ("gradient_checkpointing", "compile") if not getattr(self.profile, name)}
        fields = self.model_dump(mode="json", exclude={"profile": {"summary", *of_profile}, "budget": of_budget})
        if self.pooling == "model":
            del fields["pooling"]
        fields["profile"]["exclusive"] = True  # a field of earlier profiles: the ids of their cells stay
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The cell as people call it, without the seed: `lora[r=4] on rt-polarity`."""
        return f"{method_label(self.method, self.variant)} on {self.task}"


def code_version(plugin_files: Iterable[Path]) -> str:
    """A hash of what a cell's numbers depend on beside its settings: code and libraries.

    It covers NUMERICS, the versions of NUMERIC_LIBRARIES, and the meaning of the plugins' own files, the modules of
    their packages and the helpers (`_*.py`) beside them that these import; see `bench.grid.plugin_code`.
    """
    digest = hashlib.sha256("\x1f".join([str(NUMERICS), *_libraries()]).encode())
    for file in plugin_files:
        # Sorted by what they say, so that a package's module can be renamed.
        digest.update("\x1f".join(["\x1e", *sorted(map(meaning, sources(file)))]).encode())
    return digest.hexdigest()[:16]


@cache
def _libraries() -> list[str]:
    return [f"{name}=={importlib.metadata.version(name)}" for name in NUMERIC_LIBRARIES]
