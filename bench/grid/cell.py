"""What a cell is: one point of the grid, its identity, and the code version that its numbers depend on."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from bench.grid.suites import Budget
from bench.profiles import Profile

NUMERICS = 1  # raised when a change moves numbers: it is part of every cell's identity
NUMERIC_LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "numpy",
    "scipy",
    "scikit-learn",
    "seqeval",
)


class Cell(BaseModel):
    """One training and its evaluation. Everything here, and nothing else, is its identity.

    params: all parameters of the method. variant: those that differ from the defaults, as text.
    *_source: the pinned references; *_revision: what they resolved to (a mirror may differ from the hub).
    recipe: settings that a suite puts in the place of the method's own. code: see `code_version`.
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
    seed: int
    code: str

    @field_validator("params", "recipe")
    @classmethod
    def _numbers(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Every number must have a text of its own: JSON, of which the id is made, has none for what is not finite."""
        return {name: _number(name, value) for name, value in values.items()}

    @property
    def id(self) -> str:
        """16 hex digits: a hash of every field, save the profile's text for people."""
        # How every cell was run before there was a choice, with one process and scored on test: its identity stays.
        of_profile = {"summary", "processes"} if self.profile.processes == 1 else {"summary"}
        of_budget = {"score_on"} if self.budget.score_on == "test" else set()
        fields = self.model_dump(mode="json", exclude={"profile": of_profile, "budget": of_budget})
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The cell as people call it, without the seed: `lora[r=4] on rt-polarity`."""
        return f"{method_label(self.method, self.variant)} on {self.task}"


def _number(name: str, value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}, which is no number")
        return value + 0.0  # -0.0, which is 0.0 to any method
    if isinstance(value, list | tuple):
        return [_number(name, each) for each in value]
    return value


def method_label(method: str, variant: str) -> str:
    """A method with the parameters that differ from its defaults, as the command line takes it."""
    return f"{method}[{variant}]" if variant else method


def code_version(plugin_files: Iterable[Path]) -> str:
    """A hash of the code and libraries that a cell's numbers depend on; comments and layout do not count.

    It covers NUMERICS, the plugins' own files (all of a package's), the helper modules (`_*.py`) beside them
    that they name, and the versions of NUMERIC_LIBRARIES.
    """
    digest = hashlib.sha256(_shared_version().encode())
    for file in plugin_files:
        for source in _with_helpers(file):
            digest.update(_meaning(source).encode())
    return digest.hexdigest()[:16]


def _with_helpers(file: Path) -> list[Path]:
    """A plugin's file, or all files of its package, and the helpers beside it that these name, in turn as well."""
    is_package = file.name == "__init__.py"
    candidates = sorted((file.parents[1] if is_package else file.parent).glob("_[!_]*.py"))
    used = sorted(file.parent.rglob("*.py")) if is_package else [file]
    for source in used:  # grows while it is gone through
        text = source.read_text(encoding="utf-8")
        used += [helper for helper in candidates if helper.stem in text and helper not in used]
    return used


@cache
def _shared_version() -> str:
    parts = [f"numerics=={NUMERICS}"]
    parts += [f"{name}=={_installed(name)}" for name in NUMERIC_LIBRARIES]
    return "\x1f".join(parts)


@cache
def _meaning(file: Path) -> str:
    """A module's code without comments, layout and docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _installed(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "none"
