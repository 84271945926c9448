"""What papers claim of the methods and tasks here: shown beside what is measured, and never mixed into it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Paper(_Part):
    """Where claims come from."""

    title: str
    authors: str
    venue: str
    arxiv: str

    def __str__(self) -> str:
        return f"{self.authors}, {self.venue}, arXiv {self.arxiv}"


class Claim(_Part):
    """One claim of a paper, in its words (`quote`) and in ours (`summary`).

    method, compared_with, model and split are named as the paper names them; None: the text that was read
    does not say. tasks: names or patterns of tasks here. score and difference: of the metric, from 0 to 1.
    share_percent: of the model's parameters. where: in the paper. read_at: the text that was read.
    """

    paper: str
    method: str
    tasks: tuple[str, ...] = Field(min_length=1)
    summary: str = Field(min_length=1)
    quote: str = Field(min_length=1)
    where: str
    read_at: tuple[str, ...] = Field(min_length=1)
    model: str | None = None
    split: str | None = None
    metric: str | None = None
    score: float | None = Field(None, ge=-1, le=1)
    compared_with: tuple[str, ...] = ()
    difference: float | None = Field(None, ge=-1, le=1)
    share_percent: float | None = Field(None, gt=0, le=100)

    def concerns(self, task: str) -> bool:
        """Whether it is about a task; of an extra test (`TASK/EXTRA_TEST`) if it is about the task."""
        return any(fnmatchcase(task.partition("/")[0], pattern) for pattern in self.tasks)


class Claims(_Part):
    """Papers and their claims, by name."""

    papers: dict[str, Paper]
    claims: dict[str, Claim]

    @model_validator(mode="after")
    def _papers_are_known(self) -> Claims:
        for name, claim in self.claims.items():
            if claim.paper not in self.papers:
                raise ValueError(f"the claim {name} names a paper that is not listed: {claim.paper}")
        return self

    def about(self, tasks: Iterable[str]) -> dict[str, Claim]:
        """The claims that concern at least one of the tasks."""
        tasks = set(tasks)
        return {name: claim for name, claim in self.claims.items() if any(map(claim.concerns, tasks))}


@cache
def load() -> Claims:
    """The claims that ship, from claims.toml."""
    return Claims(**tomllib.loads(files("bench.grid").joinpath("claims.toml").read_text(encoding="utf-8")))
